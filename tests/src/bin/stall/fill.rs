//! Every campaign is visited: to fill it before the clients come, and to ask what it
//! holds when the clients are gone.

use anyhow::{Context, Result, anyhow};
use e2e::visits::everywhere;
use e2e::wire::{Answer, Asked};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::ledger::{Check, Ledger};
use crate::settings::Settings;

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
    let open = r#"{"title":"A campaign","currency":"USD","goal":"1000000.00"}"#;
    let donations = (0..settings.donations)
        .map(|index| ("donate", donation(&format!("fill-{index}"), FILL_CENTS)));
    let pushes: Vec<_> = std::iter::once(("open", open.to_owned()))
        .chain(donations)
        .collect();
    everywhere(port, settings.actors, &pushes, |answers| {
        for Answer { visit, to, result } in answers {
            result.map_err(|reason| anyhow!("campaign {visit} answers {to:?} with {reason}"))?;
        }
        Ok(())
    })?;
    for campaign in 0..settings.actors {
        for _ in 0..settings.donations {
            ledger.take(campaign, FILL_CENTS);
        }
    }
    Ok(())
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
    let parts = everywhere(port, settings.actors, &[], |answers| {
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
