//! The book held against the state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use rust_decimal::Decimal;
use serde_json::Value;

use super::book::{Book, Gift, Told};
use super::keys::Keys;
use crate::{Home, wait};

/// What is wrong with a state, gift by gift; and how open ends have ended.
#[derive(Debug, Default)]
pub struct Findings {
    /// Gifts looked for.
    pub gifts: u64,
    /// Known to be there, and not there.
    pub lost: Vec<String>,
    /// There more than once.
    pub doubled: Vec<String>,
    /// There, and refused or never sent.
    pub invented: Vec<String>,
    /// There with another amount or receipt, or in sums that do not hold.
    pub wrong: Vec<String>,
    /// Those with an open end that are there.
    pub open_there: u64,
    /// Those with an open end that are not there.
    pub open_not: u64,
}

impl Findings {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn hold(&self) -> bool {
        let lists = [&self.lost, &self.doubled, &self.invented, &self.wrong];
        lists.iter().all(|list| list.is_empty())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("there and never accepted", &self.invented),
            ("wrong", &self.wrong),
        ];
        for (what, list) in lists {
            for finding in list {
                writeln!(f, "{what}: {finding}")?;
            }
        }
        Ok(())
    }
}

/// Looks for the gifts to these actors, while nobody gives. What is found of a gift
/// with an open end is written into the book: from then on it is known.
pub(crate) fn audit(home: &Home, book: &Book, actors: &[String]) -> Result<Findings> {
    let mut findings = Findings::default();
    for actor in actors {
        let state = home.state(actor)?.state;
        of_actor(actor, &state, book, &mut findings).with_context(|| format!("audit {actor}"))?;
    }
    Ok(findings)
}

/// Holds what a state has of gifts against the book.
pub(crate) fn of_actor(
    actor: &str,
    state: &Value,
    book: &Book,
    findings: &mut Findings,
) -> Result<()> {
    let ledger = state["campaign"]["ledger"].as_array();
    let ledger = ledger.with_context(|| format!("it has no ledger: {state}"))?;
    let gifts = book.gifts(actor);
    findings.gifts += gifts.len() as u64;
    let (mut seen, mut total) = (BTreeSet::new(), Decimal::ZERO);
    for (receipt, donation) in (1..).zip(ledger) {
        let id = donation["donation_id"].as_str().unwrap_or_default();
        let amount = decimal(&donation["amount"])?;
        total += amount;
        if !seen.insert(id) {
            findings.doubled.push(format!("{actor} {id}"));
        }
        // What the receipt of each gift said: a sum over all before it.
        if decimal(&donation["total"])? != total || donation["count"] != receipt {
            findings
                .wrong
                .push(format!("{actor} {id}: the sums of {donation}"));
        }
        match gifts.get(id) {
            None => findings
                .invented
                .push(format!("{actor} {id} was never sent")),
            Some(gift) => of_gift(&format!("{actor} {id}"), gift, receipt, amount, findings),
        }
        if gifts.get(id).is_some_and(|gift| gift.told == Told::Open) {
            book.is_there(actor, id, Some(receipt));
        }
    }
    for (id, gift) in gifts.iter().filter(|(id, _)| !seen.contains(id.as_str())) {
        match gift.told {
            Told::Not => {}
            Told::Open => findings.open_not += 1,
            Told::There { receipt } => {
                findings
                    .lost
                    .push(format!("{actor} {id} with receipt {receipt:?}"));
            }
        }
    }
    Ok(())
}

fn of_gift(name: &str, gift: &Gift, receipt: u64, amount: Decimal, findings: &mut Findings) {
    if gift.amount != amount {
        let wrong = format!("{name} has {amount} for {}", gift.amount);
        findings.wrong.push(wrong);
    }
    match gift.told {
        Told::Not => findings.invented.push(format!("{name} was refused")),
        Told::Open => findings.open_there += 1,
        Told::There {
            receipt: Some(told),
        } if told != receipt => findings
            .wrong
            .push(format!("{name} has receipt {receipt} for {told}")),
        Told::There { .. } => {}
    }
}

/// Looks whether each gift that pays someone's zakat is a payment of that payer,
/// once, and no other is. In a release that knows of it, while nobody gives.
pub(crate) fn payments(home: &Home, actors: &[String], findings: &mut Findings) -> Result<()> {
    let mut wanted: BTreeMap<String, BTreeMap<String, Decimal>> = BTreeMap::new();
    for actor in actors {
        let state = home.state(actor)?.state;
        let campaign = actor.split_once(':').map_or("", |(_, key)| key);
        for donation in state["campaign"]["ledger"].as_array().into_iter().flatten() {
            let (payer, id) = (donation["payer"].as_str(), donation["donation_id"].as_str());
            if let (Some(payer), Some(id), Some("zakat")) = (payer, id, donation["fund"].as_str()) {
                wanted
                    .entry(format!("zakat:{payer}"))
                    .or_default()
                    .insert(format!("{campaign}/{id}"), decimal(&donation["amount"])?);
            }
        }
    }
    for (payer, wanted) in wanted {
        let mut found = BTreeMap::new();
        // Casts are delivered behind the command that caused them.
        let arrived = wait::until("every payment has come", || {
            found = paid(home, &payer).ok()?;
            (found.len() >= wanted.len()).then_some(())
        });
        if arrived.is_err() || found != wanted {
            let missing = wanted
                .iter()
                .filter(|(id, amount)| found.get(*id) != Some(amount));
            let missing: Vec<_> = missing.map(|(id, _)| id.as_str()).take(5).collect();
            let strange = found.keys().filter(|id| !wanted.contains_key(*id));
            let strange: Vec<_> = strange.map(String::as_str).take(5).collect();
            findings.wrong.push(format!(
                "{payer} has {} payments for {}: without {missing:?}, and with {strange:?}",
                found.len(),
                wanted.len()
            ));
        }
    }
    Ok(())
}

/// Looks whether each owner's assets are as it declared them last, while nobody declares.
pub(crate) fn owners(home: &Home, keys: &Keys, findings: &mut Findings) -> Result<()> {
    for actor in keys.owners() {
        let state = home.state(&actor)?.state;
        let held = keys.of_state(&actor, &state, findings);
        held.with_context(|| format!("audit {actor}"))?;
    }
    Ok(())
}

fn paid(home: &Home, payer: &str) -> Result<BTreeMap<String, Decimal>> {
    let state = home.state(payer)?.state;
    let payments = state["payments"].as_object().cloned().unwrap_or_default();
    payments
        .into_iter()
        .map(|(id, payment)| Ok((id, decimal(&payment["money"]["amount"])?)))
        .collect()
}

pub(super) fn decimal(value: &Value) -> Result<Decimal> {
    let text = value
        .as_str()
        .with_context(|| format!("{value} is no amount"))?;
    text.parse().with_context(|| format!("{text} is no amount"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_fault_is_found() {
        let book = Book::default();
        for id in ["kept", "open", "gone", "dropped", "refused"] {
            let before = book.sends("a", id, Decimal::ONE, None);
            match id {
                "kept" | "gone" => book.is_there("a", id, None),
                "refused" => book.is_refused("a", id, before),
                _ => {}
            }
        }
        let line = |id: &str, n: u32| {
            json!({"donation_id": id, "amount": "1",
            "total": n.to_string(), "count": n})
        };
        let ledger = [
            line("kept", 1),
            line("open", 2),
            line("refused", 3),
            line("strange", 4),
            line("kept", 5),
        ];
        let state = json!({"campaign": {"ledger": ledger}});
        let mut found = Findings::default();
        of_actor("a", &state, &book, &mut found).unwrap();
        assert_eq!(found.lost, ["a gone with receipt None"]);
        assert_eq!(found.doubled, ["a kept"]);
        assert_eq!(
            found.invented,
            ["a refused was refused", "a strange was never sent"]
        );
        assert_eq!((found.open_there, found.open_not), (1, 1));
        assert!(found.wrong.is_empty() && !found.hold());
        assert_eq!(
            book.gifts("a")["open"].told,
            Told::There { receipt: Some(2) }
        );
    }
}
