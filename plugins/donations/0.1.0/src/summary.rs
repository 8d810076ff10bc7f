//! The campaign as its page shows it.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::ledger::Donation;
use crate::limits::RECENT_MAX;
use crate::money::Currency;
use crate::state::{Campaign, Donations};

/// The answer to `summary`. Of a campaign that nobody has opened everything is
/// null, zero or empty: a client may join first and wait for the opening.
#[derive(Serialize)]
pub(crate) struct Summary<'a> {
    title: Option<&'a str>,
    currency: Option<Currency>,
    goal: Option<Decimal>,
    total: Decimal,
    count: u64,
    /// Newest first.
    recent: Vec<Recent<'a>>,
    version: &'static str,
}

#[derive(Serialize)]
struct Recent<'a> {
    receipt_no: u64,
    donation_id: &'a str,
    donor: &'a str,
    amount: Decimal,
    currency: Currency,
}

impl Donations {
    pub(crate) fn summary(&self, version: &'static str) -> Summary<'_> {
        let campaign = self.campaign.as_ref();
        Summary {
            title: campaign.map(|c| c.title.as_str()),
            currency: campaign.map(|c| c.currency),
            goal: campaign.map(|c| c.goal),
            total: campaign.map_or(Decimal::ZERO, |c| c.total),
            count: campaign.map_or(0, |c| c.count),
            recent: campaign.map(Campaign::recent).unwrap_or_default(),
            version,
        }
    }
}

impl Campaign {
    /// The last donations that were not given back, in whatever currency: the
    /// same before and after a change of version.
    fn recent(&self) -> Vec<Recent<'_>> {
        let kept = self.ledger.iter().rev().filter(|(_, d)| !d.refunded);
        kept.take(RECENT_MAX)
            .map(|(receipt_no, donation)| Recent::of(receipt_no, donation))
            .collect()
    }
}

impl<'a> Recent<'a> {
    fn of(receipt_no: u64, donation: &'a Donation) -> Self {
        Self {
            receipt_no,
            donation_id: &donation.donation_id,
            donor: donation.shown_donor(),
            amount: donation.amount,
            currency: donation.currency,
        }
    }
}
