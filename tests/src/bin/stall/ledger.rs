//! What was acknowledged to the clients, by campaign.

use std::fmt;

use rust_decimal::Decimal;

use crate::paced::Seen;

/// By campaign, what its state has to hold.
#[derive(Debug)]
pub(crate) struct Ledger {
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Row {
    count: u64,
    cents: u64,
    /// Gifts that were answered with an error, some of which do not say whether
    /// they were taken.
    doubtful: u64,
}

/// What came of holding the ledger against the campaigns.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    /// Donations that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Donations in the state.
    pub(crate) in_state: u64,
    /// Acknowledged and not in the state.
    pub(crate) lost: u64,
    /// In the state beyond all that was acknowledged or answered with an error.
    pub(crate) extra: u64,
    /// Campaigns with the right count and another total.
    pub(crate) wrong_totals: u64,
}

impl Ledger {
    /// One without donations.
    pub(crate) fn new(actors: u32) -> Self {
        Self {
            rows: vec![Row::default(); actors as usize],
        }
    }

    /// Takes down an acknowledged donation.
    pub(crate) fn take(&mut self, campaign: u32, cents: u32) {
        let row = &mut self.rows[campaign as usize];
        row.count += 1;
        row.cents += u64::from(cents);
    }

    /// Takes down what the paced clients saw.
    pub(crate) fn add(&mut self, seen: &Seen) {
        for call in &seen.calls {
            if call.ok {
                self.take(call.gift.campaign, call.gift.cents);
            } else {
                self.rows[call.gift.campaign as usize].doubtful += 1;
            }
        }
    }

    /// Holds one campaign's `count` and `total` against it.
    pub(crate) fn compare(&self, campaign: u32, count: u64, total: Decimal, check: &mut Check) {
        let row = &self.rows[campaign as usize];
        check.acknowledged += row.count;
        check.in_state += count;
        check.lost += row.count.saturating_sub(count);
        check.extra += count.saturating_sub(row.count + row.doubtful);
        let cents = Decimal::from(row.cents) / Decimal::ONE_HUNDRED;
        check.wrong_totals += u64::from(count == row.count && total != cents);
    }
}

impl Check {
    /// Adds what another thread has compared.
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.in_state += other.in_state;
        self.lost += other.lost;
        self.extra += other.extra;
        self.wrong_totals += other.wrong_totals;
    }

    /// Whether all that was acknowledged is there, and nothing else.
    pub(crate) fn is_exact(&self) -> bool {
        (self.lost, self.extra, self.wrong_totals) == (0, 0, 0)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            in_state,
            lost,
            extra,
            wrong_totals,
        } = self;
        write!(
            f,
            "check: {acknowledged} donations acknowledged, {in_state} in the state, {lost} lost, \
             {extra} never asked for, {wrong_totals} wrong totals"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_donation_is_found() {
        let mut ledger = Ledger::new(2);
        ledger.take(0, 100);
        ledger.take(0, 250);
        let mut check = Check::default();
        ledger.compare(0, 2, "3.50".parse().unwrap(), &mut check);
        ledger.compare(1, 0, Decimal::ZERO, &mut check);
        assert!(check.is_exact(), "{check}");
        ledger.compare(0, 1, "1.00".parse().unwrap(), &mut check);
        ledger.compare(1, 1, "1.00".parse().unwrap(), &mut check);
        ledger.compare(0, 2, "3.49".parse().unwrap(), &mut check);
        assert_eq!((check.lost, check.extra, check.wrong_totals), (1, 1, 1));
    }
}
