//! Donations to campaigns, version 0.1.0: sadaqah in one currency.
//!
//! An actor is a campaign: `donations:ramadan-2026`. A treasurer opens it, then
//! everyone gives:
//!
//! | command | payload | reply |
//! |---|---|---|
//! | `open` | `title`, `currency`, `goal` | the same |
//! | `donate` | `donation_id`, `donor?`, `amount`, `currency` | `receipt_no`, `donation_id`, `total`, `count` |
//!
//! The query `summary` shows the campaign. Clients that have joined it get
//! `campaign_opened` and `donation_received`.
//!
//! Money is a decimal text and an ISO 4217 code. A `donation_id` is good for one
//! gift: again, it gets its first receipt with `"duplicate": true`. A `donate`
//! that names a `fund` other than `sadaqah` is refused (`bad_fund`), for zakat
//! must not be taken as if nobody had named it.
//!
//! Invariants: `total` and `count` are what the ledger adds up to; a receipt
//! number is a place in the ledger. A later version may have given gifts back or
//! taken some in other currencies; here they keep their receipts and are not in
//! `total`.

mod check;
mod command;
mod decide;
mod event;
mod ledger;
mod limits;
mod money;
mod state;
mod summary;
mod text;

#[cfg(test)]
mod tests;

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, Violation, export_plugin};

pub use crate::command::{Command, Query};
pub use crate::event::Event;
pub use crate::ledger::{Donation, Ledger};
pub use crate::money::Currency;
pub use crate::state::{Campaign, Donations};

impl Plugin for Donations {
    const NAME: &'static str = "donations";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[("donate", "donation_id")];

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
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
            } => {
                let campaign = self.opened()?;
                let gift = decide::Gift::read(donation_id, donor, &amount, &currency)?;
                campaign.donate(gift, fund.as_deref())
            }
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

    fn check(&self) -> Result<(), Violation> {
        self.campaign.as_ref().map_or(Ok(()), check::check)
    }
}

export_plugin!(Donations);
