//! Zakat on wealth, version 0.1.0: one actor is one payer, `zakat:{payer}`.
//!
//! A payer declares what is owned, records what is paid, and asks what is due
//! at given prices. One published set of rules: 2.5 % of the whole once it
//! reaches the nisab. No fatwa: personal jewellery, livestock and zakat al-fitr
//! are out, and which receivables are collectable is for the payer to say.
//!
//! Invariants, asked by `check`:
//!
//! - every amount is above zero, below 10^18, and a whole number of its
//!   currency's minor units;
//! - every weight is above zero, and no metal is purer than pure;
//! - a payment, once recorded, never changes.
//!
//! Must not know: donations, campaigns, prices of its own. A released version is
//! frozen, so what a later one has in common with this one is repeated there.

mod access;
mod assess;
mod check;
mod command;
mod event;
mod hijri;
mod money;
mod state;

#[cfg(test)]
mod tests;

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, Violation, export_plugin};
use serde_json::json;

pub use crate::assess::{Assessment, Breakdown, Nisab, Prices, Question, Share};
pub use crate::command::{Command, Declaration, Figure, Query};
pub use crate::event::Event;
pub use crate::hijri::Day;
pub use crate::money::{Currency, Money};
pub use crate::state::{Asset, Holding, Id, Payment, Purity, Zakat};

impl Plugin for Zakat {
    const NAME: &'static str = "zakat";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_SCHEMA: u32 = 1;
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[("pay", "payment_id")];

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        match command {
            Command::Declare {
                asset_id,
                declaration,
            } => self.declare(cx.now_ms(), asset_id, &declaration),
            Command::Remove { asset_id } => self.remove(asset_id),
            Command::Pay {
                payment_id,
                amount,
                currency,
            } => self.pay(cx.now_ms(), payment_id, &amount, &currency),
        }
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
                "payments": self.payments.len(),
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

export_plugin!(Zakat);
