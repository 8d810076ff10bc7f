//! Donations to campaigns, version 0.3.0: as in 0.2.0, with pledges and recurring
//! gifts.
//!
//! An actor is a campaign: `donations:ramadan-2026`. A treasurer opens it, then
//! everyone gives, promises and subscribes, and a treasurer gives back and spends:
//!
//! | command | payload | reply |
//! |---|---|---|
//! | `open` | `title`, `currency`, `goal` | the same |
//! | `donate` | `donation_id`, `donor?`, `amount`, `currency`, `fund?`, `payer?`, `pledge_id?` | `receipt_no`, `donation_id`, `total`, `count` |
//! | `refund` | `donation_id`, `reason` | the gift, `balance`, `total`, `count` |
//! | `allocate` | `fund`, `category`, `amount`, `currency` | the same and `balance` |
//! | `pledge` | `pledge_id`, `donor?`, `fund?`, `amount`, `currency`, `due_on?` | the pledge, `fulfilled`, `outstanding` |
//! | `fulfil` | `pledge_id`, `donation_id` of a gift that came without a pledge | the same |
//! | `cancel_pledge` | `pledge_id`, `reason` | the same and `cancelled` |
//! | `subscribe` | `subscription_id`, `donor?`, `fund?`, `amount`, `currency`, `payer?`, `every`, `start_on?`, `times?` | the subscription, `taken`, `next_on`, `standing` |
//! | `unsubscribe` | `subscription_id` | the same |
//!
//! The query `summary` shows the campaign. Clients that have joined it get
//! `campaign_opened`, `donation_received`, `donation_refunded`, `funds_allocated`,
//! `pledge_made`, `pledge_fulfilled`, `pledge_cancelled`, `subscription_started`,
//! `subscription_ended`. A gift of zakat with a payer is a payment of
//! `zakat:{payer}`.
//!
//! Money is a decimal text and an ISO 4217 code. A `donation_id` is good for one
//! gift: again, it gets its first receipt with `"duplicate": true`, also when
//! the gift was given back. The ids of pledges and subscriptions are so, too.
//!
//! **A pledge is no money.** It is in no fund and no total until a gift names it.
//!
//! **A subscription is an authorisation, and here it counts as money that was
//! received:** when a date begins, its gift is booked as any other, with a receipt, and
//! can be allocated. This plugin asks no bank. Who collects in truth collects by the
//! broadcast `donation_received` with its `subscription_id`, and gives back with
//! `refund` what does not come.
//!
//! Invariants: per fund and currency, received − refunded − allocated is never
//! below 0, and nothing moves money between funds; `total` and `count` are the
//! unrefunded donations in the campaign's currency over all funds; a receipt
//! number is a place in the ledger; what has come of a pledge is the sum of the
//! unrefunded gifts that name it, all to its fund and in its currency, and never above
//! what was promised; each date of a subscription that is over has one gift.

mod access;
mod books;
mod casts;
mod check;
mod command;
mod day;
mod decide;
mod event;
mod fund;
mod ledger;
mod limits;
mod migrate;
mod money;
mod outgoing;
mod pledge;
mod promising;
mod recurring;
mod samples;
mod state;
mod subscription;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use host_sdk::{
    Cx, Decision, Message, Migrate, Migrated, MigrationError, Plugin, Random, Rejection, Reply,
    Violation, export_plugin,
};
use serde_json::Value;

pub use crate::books::{Account, Allocation, Books};
pub use crate::command::{Command, Query, Subscribe};
pub use crate::day::{Day, Interval};
pub use crate::event::Event;
pub use crate::fund::Fund;
pub use crate::ledger::{Donation, Ledger, Refund};
pub use crate::migrate::{Carry, Old, OldCampaign, OldDonation};
pub use crate::money::Currency;
pub use crate::pledge::{Cancellation, Pledge, Pledges, Promised};
pub use crate::state::{Campaign, Donations};
pub use crate::subscription::{Standing, Subscription, Subscriptions, Terms};

impl Plugin for Donations {
    const NAME: &'static str = "donations";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_SCHEMA: u32 = 3;
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[
        ("donate", "donation_id"),
        ("pledge", "pledge_id"),
        ("subscribe", "subscription_id"),
    ];

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
                pledge_id,
            } => {
                let campaign = self.opened()?;
                let gift = decide::Gift::read(
                    donation_id,
                    donor,
                    (&amount, &currency),
                    fund.as_deref(),
                    payer,
                )?;
                campaign.donate(cx.key(), gift.towards(pledge_id))
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
            Command::Pledge {
                pledge_id,
                donor,
                fund,
                amount,
                currency,
                due_on,
            } => {
                let campaign = self.opened()?;
                let money = (&*amount, &*currency);
                let subject = access::subject(cx);
                let pledge = Pledge::read(donor, fund.as_deref(), money, due_on, subject)?;
                campaign.pledge(pledge_id, pledge)
            }
            Command::Fulfil {
                pledge_id,
                donation_id,
            } => self.opened()?.fulfil(pledge_id, donation_id),
            Command::CancelPledge { pledge_id, reason } => {
                self.opened()?.cancel_pledge(cx, pledge_id, reason)
            }
            Command::Subscribe(command) => self.opened()?.subscribe(cx, command),
            Command::Unsubscribe { subscription_id } => {
                self.opened()?.unsubscribe(cx, subscription_id)
            }
        }
    }

    fn apply(&mut self, event: Event) {
        self.applied(event);
    }

    fn query(&self, cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => {
                let today = Day::of_ms(cx.now_ms());
                Ok(Reply::json(&self.summary(Self::VERSION, today)))
            }
        }
    }

    /// The next date of a subscription has come.
    fn timer(&self, cx: &Cx<'_>, payload: Value) -> Result<Decision<Event>, Rejection> {
        self.due(cx, payload)
    }

    /// Everyone may give, promise, subscribe and look; a treasurer opens, gives back,
    /// spends, and says which gift was meant for which pledge. A pledge is cancelled and
    /// a subscription ended by whoever has made it, or a treasurer: `decide` sees to it.
    fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
        match cx.event() {
            "open" | "refund" | "allocate" | "fulfil" => access::treasurer(cx),
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), Violation> {
        self.campaign.as_ref().map_or(Ok(()), check::check)
    }
}

impl Migrate for Donations {
    const FROM: &'static str = "~0.2";

    type Old = Old;
    type Carry = Carry;

    fn up(old: Old, carry: Option<Carry>, _changed: bool) -> Result<Self, MigrationError> {
        migrate::up(old, carry)
    }

    fn down(&self) -> Result<Migrated<Old, Carry>, MigrationError> {
        Ok(migrate::down(self))
    }

    /// Every message of 0.2.0 is one of this version. A `donate` names no pledge: 0.2.0
    /// takes no notice of the field, and what it took is to be taken here. One under an
    /// id that is a subscription's is refused, as here.
    fn upcast(message: Message) -> Result<Message, Rejection> {
        Ok(casts::without_pledge(message))
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
