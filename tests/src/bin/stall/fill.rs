//! Every campaign is visited: to fill it before the clients come, and to ask what it
//! holds when the clients are gone.

use std::ops::Range;

use anyhow::{Context, Result, anyhow};
use e2e::visits::everywhere;
use e2e::wire::{Answer, Asked};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::ledger::{Check, Ledger};
use crate::settings::{BESIDE_DONATIONS, Settings};

/// Pushes in one visit of the filling.
const VISIT_PUSHES: usize = 400;

/// What a donation of the filling gives.
const FILL_CENTS: u32 = 125;

/// The payload of a donation.
pub(crate) fn donation(id: &str, cents: u32) -> String {
    let (units, cents) = (cents / 100, cents % 100);
    format!(
        r#"{{"donation_id":"{id}","donor":"a donor","amount":"{units}.{cents:02}","currency":"USD"}}"#
    )
}

/// Opens every campaign and gives it its donations.
pub(crate) fn fill(port: u16, settings: &Settings, ledger: &mut Ledger) -> Result<()> {
    let Settings {
        actors, donations, ..
    } = *settings;
    for (campaigns, donations) in [
        (0..actors, donations),
        (actors..settings.all(), BESIDE_DONATIONS),
    ] {
        let open = r#"{"title":"A campaign","currency":"USD","goal":"1000000.00"}"#;
        let mut pushes = vec![("open", open.to_owned())];
        for index in 0..donations {
            pushes.push(("donate", donation(&format!("fill-{index}"), FILL_CENTS)));
            if pushes.len() == VISIT_PUSHES {
                push(port, campaigns.clone(), &std::mem::take(&mut pushes))?;
            }
        }
        if !pushes.is_empty() {
            push(port, campaigns.clone(), &pushes)?;
        }
        for campaign in campaigns {
            for _ in 0..donations {
                ledger.take(campaign, FILL_CENTS);
            }
        }
    }
    Ok(())
}

/// All of `pushes` to each of the campaigns, which accept every one.
fn push(port: u16, campaigns: Range<u32>, pushes: &[(&str, String)]) -> Result<()> {
    everywhere(port, campaigns, pushes, |answers| {
        for Answer { visit, to, result } in answers {
            result.map_err(|reason| anyhow!("campaign {visit} answers {to:?} with {reason}"))?;
        }
        Ok(())
    })
    .map(drop)
}

#[derive(Deserialize)]
struct Joined {
    summary: Option<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    count: u64,
    total: Decimal,
}

/// Asks every campaign for its summary, which a join gives.
pub(crate) fn check(port: u16, settings: &Settings, ledger: &Ledger) -> Result<Check> {
    let parts = everywhere(port, 0..settings.all(), &[], |answers| {
        let mut part = Check::default();
        for Answer { visit, to, result } in answers.filter(|a| a.to == Asked::Join) {
            let response = result
                .map_err(|reason| anyhow!("campaign {visit} answers {to:?} with {reason}"))?;
            let joined: Joined = serde_json::from_str(&response)
                .with_context(|| format!("read the summary {response}"))?;
            let summary = joined.summary.context("a campaign has a summary")?;
            ledger.compare(visit, summary.count, summary.total, &mut part);
        }
        Ok(part)
    })?;
    let mut check = Check::default();
    parts.into_iter().for_each(|part| check.add(part));
    Ok(check)
}
