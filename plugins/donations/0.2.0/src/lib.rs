//! Donations to campaigns, version 0.2.0: zakat, sadaqah and waqf, kept apart.
//!
//! An actor is a campaign: `donations:ramadan-2026`. A treasurer opens it, then
//! everyone gives, and a treasurer gives back and spends:
//!
//! | command | payload | reply |
//! |---|---|---|
//! | `open` | `title`, `currency`, `goal` | the same |
//! | `donate` | `donation_id`, `donor?`, `amount`, `currency`, `fund?`, `payer?` | `receipt_no`, `donation_id`, `total`, `count` |
//! | `refund` | `donation_id`, `reason` | the gift, `balance`, `total`, `count` |
//! | `allocate` | `fund`, `category`, `amount`, `currency` | the same and `balance` |
//!
//! The query `summary` shows the campaign. Clients that have joined it get
//! `campaign_opened`, `donation_received`, `donation_refunded`,
//! `funds_allocated`. A gift of zakat with a payer is a payment of
//! `zakat:{payer}`.
//!
//! Money is a decimal text and an ISO 4217 code. A `donation_id` is good for one
//! gift: again, it gets its first receipt with `"duplicate": true`, also when
//! the gift was given back.
//!
//! Invariants: per fund and currency, received − refunded − allocated is never
//! below 0, and nothing moves money between funds; `total` and `count` are the
//! unrefunded donations in the campaign's currency over all funds; a receipt
//! number is a place in the ledger.

mod books;
mod casts;
mod check;
mod command;
mod decide;
mod event;
mod fund;
mod ledger;
mod limits;
mod migrate;
mod money;
mod outgoing;
mod samples;
mod state;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use host_sdk::{
    Cx, Decision, Message, Migrate, Migrated, MigrationError, Plugin, Random, Rejection, Reply,
    Violation, export_plugin,
};
use serde::Deserialize;

pub use crate::books::{Account, Allocation, Books};
pub use crate::command::{Command, Query};
pub use crate::event::Event;
pub use crate::fund::Fund;
pub use crate::ledger::{Donation, Ledger, Refund};
pub use crate::migrate::{CarriedGift, Carry, Old, OldCampaign, OldDonation};
pub use crate::money::Currency;
pub use crate::state::{Campaign, Donations};

impl Plugin for Donations {
    const NAME: &'static str = "donations";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_SCHEMA: u32 = 2;
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[("donate", "donation_id")];

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        match command {
            Command::Open {
                title,
                currency,
                goal,
            } => self.open(title, &currency, &goal),
            Command::Donate {
                donation_id,
                donor,
                amount,
                currency,
                fund,
                payer,
            } => {
                let campaign = self.opened()?;
                let gift = decide::Gift::read(
                    donation_id,
                    donor,
                    (&amount, &currency),
                    fund.as_deref(),
                    payer,
                )?;
                campaign.donate(cx.key(), gift)
            }
            Command::Refund {
                donation_id,
                reason,
            } => self.opened()?.refund(cx.key(), donation_id, reason),
            Command::Allocate {
                fund,
                category,
                amount,
                currency,
            } => self.opened()?.allocate(&fund, category, &amount, &currency),
        }
    }

    fn apply(&mut self, event: Event) {
        self.applied(event);
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => Ok(Reply::json(&self.summary(Self::VERSION))),
        }
    }

    /// Everyone may give and look; a treasurer opens, gives back and spends.
    fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
        if !matches!(cx.event(), "open" | "refund" | "allocate") {
            return Ok(());
        }
        let roles = cx.claims::<Claims>().unwrap_or_default().roles;
        if roles.iter().any(|role| role == "treasurer") {
            return Ok(());
        }
        Err(Rejection::new(
            "forbidden",
            format!("{:?} needs the role treasurer", cx.event()),
        ))
    }

    fn check(&self) -> Result<(), Violation> {
        self.campaign.as_ref().map_or(Ok(()), check::check)
    }
}

/// What a token says of its bearer, as far as it matters here.
#[derive(Default, Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
}

impl Migrate for Donations {
    const FROM: &'static str = "~0.1";

    type Old = Old;
    type Carry = Carry;

    fn up(old: Old, carry: Option<Carry>, _changed: bool) -> Result<Self, MigrationError> {
        migrate::up(old, carry)
    }

    fn down(&self) -> Result<Migrated<Old, Carry>, MigrationError> {
        Ok(migrate::down(self))
    }

    /// Every message of 0.1.0 is one of this version, but for what 0.1.0 does not look at.
    ///
    /// A `donate` without a fund becomes sadaqah, which is all that 0.1.0 takes.
    /// In another currency than the campaign's, 0.1.0 would have refused it; here it
    /// is taken for what it says, for a gift in euros can only be meant as euros.
    /// A client that has learnt of the upgrade while connected may name a fund
    /// already, so the field stays; what is no fund and no payer goes, as 0.1.0 has
    /// taken no notice of it.
    fn upcast(message: Message) -> Result<Message, Rejection> {
        Ok(casts::upcast(message))
    }

    fn downcast(message: Message) -> Result<Message, Rejection> {
        casts::downcast(message)
    }

    /// None for a campaign that is not open: the only command it takes is old.
    fn samples(&self, random: &mut Random, count: usize) -> Vec<Message> {
        self.campaign
            .as_ref()
            .map(|campaign| samples::samples(campaign, random, count))
            .unwrap_or_default()
    }
}

export_plugin!(Donations: Migrate);
