//! What the ledger and the allocations add up to.
//!
//! The same three entries (receive, give back, allocate) keep the books while a
//! campaign runs, rebuild them after a migration, and check them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::fund::Fund;
use crate::ledger::{Donation, Ledger};
use crate::money::Currency;

/// Money of a fund that was spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Whose money.
    pub fund: Fund,
    /// For what.
    pub category: String,
    /// With the currency's minor digits.
    pub amount: Decimal,
    /// Any currency.
    pub currency: Currency,
}

/// What has come into a fund in one currency, and what has left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// All gifts, given back or not.
    pub received: Decimal,
    /// Gifts that were given back.
    pub refunded: Decimal,
    /// Money that was spent.
    pub allocated: Decimal,
}

impl Account {
    fn new(currency: Currency) -> Self {
        Self {
            received: currency.zero(),
            refunded: currency.zero(),
            allocated: currency.zero(),
        }
    }

    /// What is there: received − refunded − allocated.
    #[must_use]
    pub fn balance(&self) -> Decimal {
        self.received
            .saturating_sub(self.refunded)
            .saturating_sub(self.allocated)
    }
}

/// The sums of a campaign.
///
/// Sums saturate, so that an entry can be made without a way to fail: a command
/// is refused long before (see `SUM_BELOW_POWER_OF_TEN`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// Sum of the unrefunded donations in the campaign's currency, of all funds.
    pub total: Decimal,
    /// How many they are.
    pub count: u64,
    /// An account for each fund and currency that a gift ever came in.
    pub accounts: BTreeMap<Fund, BTreeMap<Currency, Account>>,
    /// How many unrefunded donations each name has given, whatever the currency.
    pub donors: BTreeMap<String, u64>,
}

impl Books {
    /// The books of a campaign in this currency that nobody has given to.
    #[must_use]
    pub fn new(currency: Currency) -> Self {
        Self {
            total: currency.zero(),
            count: 0,
            accounts: BTreeMap::new(),
            donors: BTreeMap::new(),
        }
    }

    /// The books of a campaign in `currency`, from its first entry on.
    #[must_use]
    pub fn rebuilt(currency: Currency, ledger: &Ledger, allocations: &[Allocation]) -> Self {
        let mut books = Self::new(currency);
        for (_, donation) in ledger.iter() {
            books.receive(currency, donation);
            if donation.refund.is_some() {
                books.give_back(currency, donation);
            }
        }
        for allocation in allocations {
            books.allocate(allocation);
        }
        books
    }

    /// What a fund has in a currency.
    #[must_use]
    pub fn balance(&self, fund: Fund, currency: Currency) -> Decimal {
        self.account(fund, currency)
            .map_or(currency.zero(), Account::balance)
    }

    /// The account of a fund in a currency, if a gift ever came in.
    #[must_use]
    pub fn account(&self, fund: Fund, currency: Currency) -> Option<&Account> {
        self.accounts.get(&fund)?.get(&currency)
    }

    /// A gift came to the campaign, which counts in `currency`.
    pub(crate) fn receive(&mut self, currency: Currency, donation: &Donation) {
        let account = self.account_mut(donation.fund, donation.currency);
        account.received = account.received.saturating_add(donation.amount);
        if donation.currency == currency {
            self.total = self.total.saturating_add(donation.amount);
            self.count = self.count.saturating_add(1);
        }
        if let Some(donor) = &donation.donor {
            *self.donors.entry(donor.clone()).or_default() += 1;
        }
    }

    /// A gift that had come was given back.
    pub(crate) fn give_back(&mut self, currency: Currency, donation: &Donation) {
        let account = self.account_mut(donation.fund, donation.currency);
        account.refunded = account.refunded.saturating_add(donation.amount);
        if donation.currency == currency {
            self.total = self.total.saturating_sub(donation.amount);
            self.count = self.count.saturating_sub(1);
        }
        if let Some(donor) = &donation.donor
            && let Some(gifts) = self.donors.get_mut(donor)
        {
            *gifts = gifts.saturating_sub(1);
            if *gifts == 0 {
                self.donors.remove(donor);
            }
        }
    }

    /// Money was spent.
    pub(crate) fn allocate(&mut self, allocation: &Allocation) {
        let account = self.account_mut(allocation.fund, allocation.currency);
        account.allocated = account.allocated.saturating_add(allocation.amount);
    }

    fn account_mut(&mut self, fund: Fund, currency: Currency) -> &mut Account {
        let accounts = self.accounts.entry(fund).or_default();
        accounts
            .entry(currency)
            .or_insert_with(|| Account::new(currency))
    }
}
