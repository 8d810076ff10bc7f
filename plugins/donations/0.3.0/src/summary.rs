//! The campaign as its page shows it.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::books::{Account, Books};
use crate::day::Day;
use crate::fund::Fund;
use crate::ledger::Donation;
use crate::limits::RECENT_MAX;
use crate::money::Currency;
use crate::pledge::Promised;
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
    /// Each fund by currency; the three are always there.
    funds: BTreeMap<Fund, BTreeMap<Currency, Shown>>,
    /// How many distinct names have given and not got everything back: a number,
    /// for the names themselves may be very many.
    donors: usize,
    /// What was promised to each fund, by currency; the three are always there.
    pledges: BTreeMap<Fund, BTreeMap<Currency, Promised>>,
    /// How many subscriptions will give again.
    subscriptions: usize,
    /// Newest first. As in 0.1.0 to the last field, so that a page that knows
    /// only that version shows the same.
    recent: Vec<Recent<'a>>,
    version: &'static str,
}

/// An account with its balance.
#[derive(Serialize)]
struct Shown {
    balance: Decimal,
    received: Decimal,
    refunded: Decimal,
    allocated: Decimal,
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
    pub(crate) fn summary(&self, version: &'static str, today: Day) -> Summary<'_> {
        let campaign = self.campaign.as_ref();
        let books = campaign.map(|c| &c.books);
        Summary {
            title: campaign.map(|c| c.title.as_str()),
            currency: campaign.map(|c| c.currency),
            goal: campaign.map(|c| c.goal),
            total: books.map_or(Decimal::ZERO, |b| b.total),
            count: books.map_or(0, |b| b.count),
            funds: funds(books),
            donors: books.map_or(0, |b| b.donors.len()),
            pledges: promised(campaign, today),
            subscriptions: campaign.map_or(0, Campaign::active_subscriptions),
            recent: campaign.map(Campaign::recent).unwrap_or_default(),
            version,
        }
    }
}

impl Campaign {
    fn active_subscriptions(&self) -> usize {
        let subscriptions = self.subscriptions.values();
        subscriptions.filter(|s| s.next().is_some()).count()
    }

    /// The last donations that were not given back, in whatever currency: the
    /// same before and after a change of version.
    fn recent(&self) -> Vec<Recent<'_>> {
        let kept = self.ledger.iter().rev().filter(|(_, d)| d.refund.is_none());
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

impl Shown {
    fn of(account: &Account) -> Self {
        Self {
            balance: account.balance(),
            received: account.received,
            refunded: account.refunded,
            allocated: account.allocated,
        }
    }
}

fn funds(books: Option<&Books>) -> BTreeMap<Fund, BTreeMap<Currency, Shown>> {
    let shown = |fund| {
        let accounts = books.and_then(|books| books.accounts.get(&fund));
        accounts
            .into_iter()
            .flatten()
            .map(|(currency, account)| (*currency, Shown::of(account)))
            .collect()
    };
    Fund::ALL
        .into_iter()
        .map(|fund| (fund, shown(fund)))
        .collect()
}

fn promised(
    campaign: Option<&Campaign>,
    today: Day,
) -> BTreeMap<Fund, BTreeMap<Currency, Promised>> {
    let mut promised = campaign.map_or_else(BTreeMap::new, |c| c.pledges.promised(today));
    for fund in Fund::ALL {
        promised.entry(fund).or_default();
    }
    promised
}
