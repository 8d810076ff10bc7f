//! What clients were told, held against what is in the state.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::Home;

/// Donations that were acknowledged, by actor: id and amount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// By actor, such as `donations:c1`.
    pub acknowledged: BTreeMap<String, Vec<(String, Decimal)>>,
}

/// What came of holding a [`Tally`] against the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Donations that were acknowledged.
    pub acknowledged: u64,
    /// Donations in the state.
    pub in_state: u64,
    /// Acknowledged, and not in the state, or with another amount.
    pub lost: Vec<String>,
    /// In the state more than once.
    pub doubled: Vec<String>,
    /// In the state, and never acknowledged to anyone.
    pub unknown: Vec<String>,
    /// Campaigns whose `total` or `count` is another than the acknowledged amounts' sum.
    pub wrong_sums: Vec<String>,
}

impl Tally {
    /// Takes down an acknowledgement.
    pub fn add(&mut self, actor: &str, donation_id: &str, amount: Decimal) {
        let donations = self.acknowledged.entry(actor.to_owned()).or_default();
        donations.push((donation_id.to_owned(), amount));
    }

    /// Takes over all that another has.
    pub fn merge(&mut self, other: Self) {
        for (actor, donations) in other.acknowledged {
            self.acknowledged
                .entry(actor)
                .or_default()
                .extend(donations);
        }
    }

    /// How many donations were acknowledged.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.acknowledged.values().map(|d| d.len() as u64).sum()
    }

    /// Holds it against the state of the campaigns in `home`, which runs and which
    /// nobody gives to any more.
    ///
    /// # Errors
    ///
    /// That a state cannot be read. What is wrong with it is in the [`Audit`].
    pub fn audit(&self, home: &Home) -> Result<Audit> {
        let mut audit = Audit {
            acknowledged: self.count(),
            ..Audit::default()
        };
        for (actor, donations) in &self.acknowledged {
            audit_actor(home, actor, donations, &mut audit)
                .with_context(|| format!("compare {actor}"))?;
        }
        Ok(audit)
    }
}

impl Audit {
    /// Fails unless every acknowledged donation is there exactly once, and nothing else.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn exact(&self) -> Result<()> {
        let wrong = [&self.lost, &self.doubled, &self.unknown, &self.wrong_sums];
        ensure!(wrong.iter().all(|list| list.is_empty()), "{self:#?}");
        Ok(())
    }
}

fn audit_actor(
    home: &Home,
    actor: &str,
    donations: &[(String, Decimal)],
    audit: &mut Audit,
) -> Result<()> {
    let state = home.state(actor)?.state;
    let ledger = state["campaign"]["ledger"].as_array();
    let ledger = ledger.with_context(|| format!("it has no ledger: {state}"))?;
    audit.in_state += ledger.len() as u64;
    let mut there = BTreeMap::new();
    for donation in ledger {
        let id = donation["donation_id"].as_str().unwrap_or_default();
        if there.insert(id, decimal(&donation["amount"])?).is_some() {
            audit.doubled.push(format!("{actor} {id}"));
        }
    }
    let mut told = BTreeSet::new();
    for (id, amount) in donations {
        told.insert(id.as_str());
        if there.get(id.as_str()) != Some(amount) {
            audit.lost.push(format!("{actor} {id}"));
        }
    }
    let unknown = there.keys().filter(|id| !told.contains(*id));
    audit
        .unknown
        .extend(unknown.map(|id| format!("{actor} {id}")));

    let summary = home.rpc(actor, "summary", &json!({}))?;
    let sum: Decimal = donations.iter().map(|(_, amount)| amount).sum();
    let count = donations.len() as u64;
    if decimal(&summary["total"])? != sum || summary["count"].as_u64() != Some(count) {
        let found = format!("{actor} has {summary}, wanted {sum} of {count}");
        audit.wrong_sums.push(found);
    }
    Ok(())
}

fn decimal(value: &Value) -> Result<Decimal> {
    let text = value
        .as_str()
        .with_context(|| format!("{value} is no amount"))?;
    text.parse().with_context(|| format!("{text} is no amount"))
}
