//! Zakat, version 0.2.0: one actor is one payer, `zakat:{payer}`.
//!
//! New since 0.1.0: assets know since when they are held, wealth may be reckoned
//! by one anniversary, by the lunar or the solar year, less the debts that are
//! due; crops and finds have zakat of their own; a payment can be taken back.
//!
//! One published set of rules, no fatwa: personal jewellery, livestock and zakat
//! al-fitr are out. How this version reads them:
//!
//! - An asset counts from the day its own lunar year is complete. Where nothing
//!   is known of when it began, it counts as complete: the error is then on the
//!   side of giving, and shows as `unknown`.
//! - An anniversary adds to that and takes nothing away: once its year is
//!   complete, all that is owned counts, however new. Before that day each asset
//!   still goes by its own year, so that naming a late day defers nothing.
//! - The solar year changes the rate (2.577 %), not the year of holding.
//! - Debts due by the day asked about are taken from wealth, which then meets
//!   the nisab or does not; never from crops or finds, and never below zero.
//! - Crops and finds are owed once: they are in the assessment whose period, from
//!   `paid_since` to `as_of`, has their day. They are not added to the wealth
//!   that meets the nisab.
//! - Harvests of one crop are one season, and meet the nisab of 653 kg together,
//!   as long as no more than 90 days lie between one and the next.
//!
//! Invariants, asked by `check`: those of 0.1.0, for debts, harvests and finds too.
//!
//! Must not know: donations, campaigns, prices of its own. A released version is
//! frozen, so what this one has in common with 0.1.0 (money, purity, access) is
//! repeated here and not shared: a change here must not reach back.

mod access;
mod assess;
mod check;
mod command;
mod decide;
mod event;
mod hijri;
mod market;
mod migrate;
mod money;
mod seasonal;
mod state;

#[cfg(test)]
mod tests;

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, Violation, export_plugin};
use serde_json::json;

pub use crate::assess::{Assessment, AssetShare, Breakdown, DebtShare, Question, Wealth};
pub use crate::command::{Command, Declaration, Figure, HarvestStated, Query};
pub use crate::event::Event;
pub use crate::hijri::Day;
pub use crate::market::{Nisab, Prices};
pub use crate::migrate::{Carry, Old, OldAsset, OldPayment};
pub use crate::money::{Currency, Money};
pub use crate::seasonal::{CropShare, FindShare};
pub use crate::state::{
    Asset, Debt, Find, Harvest, Holding, Id, Payment, Purity, Watering, Year, Zakat,
};

impl Plugin for Zakat {
    const NAME: &'static str = "zakat";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_SCHEMA: u32 = 2;
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[("pay", "payment_id")];

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        self.decide_at(cx.now_ms(), command)
    }

    fn apply(&mut self, event: Event) {
        self.record(event);
    }

    fn query(&self, cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Assess { question } => {
                let today = Day::of_ms(cx.now_ms());
                Ok(Reply::json(&assess::assess(self, today, &question)?))
            }
            Query::Summary {} => Ok(Reply::json(&json!({
                "assets": self.assets.len(),
                "payments": self.standing_payments(),
                "debts": self.debts.len(),
                "crops": self.harvests.len(),
                "rikaz": self.finds.len(),
                "anniversary": self.anniversary,
                "year": self.year,
                "version": Self::VERSION,
            }))),
        }
    }

    fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
        access::authorize(cx)
    }

    fn check(&self) -> Result<(), Violation> {
        check::check(self)
    }
}

export_plugin!(Zakat: Migrate);
