//! What has happened to a payer's record, and how it changes the state.

use serde::{Deserialize, Serialize};

use crate::{Asset, Day, Debt, Find, Harvest, Payment, Year, Zakat};

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An asset was declared, or declared anew.
    AssetDeclared {
        /// Its name.
        asset_id: String,
        /// As it is from now on.
        asset: Asset,
    },
    /// An asset is no longer owned.
    AssetRemoved {
        /// Its name.
        asset_id: String,
    },
    /// Zakat was paid.
    PaymentReceived {
        /// Its name.
        payment_id: String,
        /// How much, and when.
        payment: Payment,
    },
    /// A payment was taken back, as after a refund.
    PaymentReversed {
        /// Its name.
        payment_id: String,
        /// When: Unix milliseconds, UTC.
        reversed_at: i64,
    },
    /// All wealth is reckoned by one year from now on, or (without a day) each
    /// asset by its own again.
    AnniversarySet {
        /// When that year began.
        date: Option<Day>,
    },
    /// The payer reckons by another year.
    YearSet {
        /// Which one.
        year: Year,
    },
    /// A debt was stated, or stated anew.
    DebtOwed {
        /// Its name.
        debt_id: String,
        /// As it is from now on.
        debt: Debt,
    },
    /// A debt is owed no longer.
    DebtSettled {
        /// Its name.
        debt_id: String,
    },
    /// A harvest was stated, or stated anew.
    CropHarvested {
        /// Its name.
        crop_id: String,
        /// As it is from now on.
        harvest: Harvest,
    },
    /// A find was stated, or stated anew.
    RikazFound {
        /// Its name.
        find_id: String,
        /// As it is from now on.
        find: Find,
    },
}

impl Zakat {
    pub(crate) fn record(&mut self, event: Event) {
        match event {
            Event::AssetDeclared { asset_id, asset } => {
                self.assets.insert(asset_id, asset);
            }
            Event::AssetRemoved { asset_id } => {
                self.assets.remove(&asset_id);
            }
            Event::PaymentReceived {
                payment_id,
                payment,
            } => {
                self.payments.insert(payment_id, payment);
            }
            Event::PaymentReversed {
                payment_id,
                reversed_at,
            } => {
                if let Some(payment) = self.payments.get_mut(&payment_id) {
                    payment.reversed_at = Some(reversed_at);
                }
            }
            Event::AnniversarySet { date } => self.anniversary = date,
            Event::YearSet { year } => self.year = year,
            Event::DebtOwed { debt_id, debt } => {
                self.debts.insert(debt_id, debt);
            }
            Event::DebtSettled { debt_id } => {
                self.debts.remove(&debt_id);
            }
            Event::CropHarvested { crop_id, harvest } => {
                self.harvests.insert(crop_id, harvest);
            }
            Event::RikazFound { find_id, find } => {
                self.finds.insert(find_id, find);
            }
        }
    }
}
