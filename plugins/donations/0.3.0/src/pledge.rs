//! Pledges: what was promised, and how much of it has come.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::day::Day;
use crate::fund::Fund;
use crate::ledger::Ledger;
use crate::limits::PLEDGES_MAX;
use crate::money::Currency;

/// A promise to give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pledge {
    /// Who has promised; nobody's name is `None`.
    pub donor: Option<String>,
    /// To which fund.
    pub fund: Fund,
    /// How much, with the currency's minor digits.
    pub amount: Decimal,
    /// Any currency.
    pub currency: Currency,
    /// The day by which it is to be given, that day included.
    pub due_on: Option<Day>,
    /// The subject of the token that it came under, if it came under one: who may
    /// cancel it.
    pub subject: Option<String>,
    /// That it was cancelled. Its id stays taken.
    pub cancelled: Option<Cancellation>,
}

/// That a pledge was cancelled: what has not come of it is not waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Why.
    pub reason: String,
}

/// All pledges by id, and what has come of each.
///
/// What has come is the sum of the gifts that name the pledge and were not given
/// back: it follows from the ledger.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pledges {
    pledges: BTreeMap<String, Pledge>,
    /// Only pledges of which anything has come.
    fulfilled: BTreeMap<String, Decimal>,
}

/// What was promised to a fund in one currency, and what became of it.
/// `pledged` is what the next three add up to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promised {
    /// All pledges.
    pub pledged: Decimal,
    /// What has come of them.
    pub fulfilled: Decimal,
    /// What has not come of pledges that were cancelled.
    pub cancelled: Decimal,
    /// What is waited for.
    pub outstanding: Decimal,
    /// What of that should have come before today.
    pub overdue: Decimal,
}

impl Pledges {
    /// The pledges as they stand by the gifts that name them.
    #[must_use]
    pub fn rebuilt(pledges: BTreeMap<String, Pledge>, ledger: &Ledger) -> Self {
        let mut rebuilt = Self {
            pledges,
            fulfilled: BTreeMap::new(),
        };
        for (_, donation) in ledger.iter() {
            if let Some(pledge_id) = &donation.pledge_id
                && donation.refund.is_none()
            {
                rebuilt.fulfil(pledge_id, donation.amount);
            }
        }
        rebuilt
    }

    /// A pledge by its id.
    #[must_use]
    pub fn get(&self, pledge_id: &str) -> Option<&Pledge> {
        self.pledges.get(pledge_id)
    }

    /// All of them by id.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<String, Pledge> {
        &self.pledges
    }

    /// How many more there may be.
    #[must_use]
    pub fn room(&self) -> usize {
        PLEDGES_MAX.saturating_sub(self.pledges.len())
    }

    /// What has come of a pledge.
    #[must_use]
    pub fn fulfilled(&self, pledge_id: &str, pledge: &Pledge) -> Decimal {
        let fulfilled = self.fulfilled.get(pledge_id).copied();
        fulfilled.unwrap_or_else(|| pledge.currency.zero())
    }

    /// What has not come of a pledge, whether it is waited for or not.
    #[must_use]
    pub fn missing(&self, pledge_id: &str, pledge: &Pledge) -> Decimal {
        let fulfilled = self.fulfilled(pledge_id, pledge);
        pledge.amount.saturating_sub(fulfilled)
    }

    /// What they add up to, by fund and currency. Sums saturate, far above what
    /// `PLEDGES_MAX` of the largest amounts come to.
    #[must_use]
    pub fn promised(&self, today: Day) -> BTreeMap<Fund, BTreeMap<Currency, Promised>> {
        let mut funds: BTreeMap<Fund, BTreeMap<Currency, Promised>> = BTreeMap::new();
        for (pledge_id, pledge) in &self.pledges {
            let promised = funds.entry(pledge.fund).or_default();
            let promised = promised.entry(pledge.currency);
            let promised = promised.or_insert_with(|| Promised::nothing(pledge.currency));
            let missing = self.missing(pledge_id, pledge);
            let add = |sum: &mut Decimal, amount| *sum = sum.saturating_add(amount);
            add(&mut promised.pledged, pledge.amount);
            add(&mut promised.fulfilled, self.fulfilled(pledge_id, pledge));
            if pledge.cancelled.is_some() {
                add(&mut promised.cancelled, missing);
                continue;
            }
            add(&mut promised.outstanding, missing);
            if pledge.due_on.is_some_and(|due_on| due_on < today) {
                add(&mut promised.overdue, missing);
            }
        }
        funds
    }

    /// Someone has promised.
    pub(crate) fn promise(&mut self, pledge_id: String, pledge: Pledge) {
        self.pledges.insert(pledge_id, pledge);
    }

    /// A pledge is waited for no more.
    pub(crate) fn cancel(&mut self, pledge_id: &str, cancellation: Cancellation) {
        if let Some(pledge) = self.pledges.get_mut(pledge_id) {
            pledge.cancelled = Some(cancellation);
        }
    }

    /// A gift that names the pledge has come.
    pub(crate) fn fulfil(&mut self, pledge_id: &str, amount: Decimal) {
        let fulfilled = self.fulfilled.entry(pledge_id.to_owned());
        fulfilled
            .and_modify(|sum| *sum = sum.saturating_add(amount))
            .or_insert(amount);
    }

    /// A gift that names the pledge was given back.
    pub(crate) fn give_back(&mut self, pledge_id: &str, amount: Decimal) {
        if let Some(sum) = self.fulfilled.get_mut(pledge_id) {
            *sum = sum.saturating_sub(amount);
            if sum.is_zero() {
                self.fulfilled.remove(pledge_id);
            }
        }
    }
}

impl Promised {
    fn nothing(currency: Currency) -> Self {
        let zero = currency.zero();
        Self {
            pledged: zero,
            fulfilled: zero,
            cancelled: zero,
            outstanding: zero,
            overdue: zero,
        }
    }
}
