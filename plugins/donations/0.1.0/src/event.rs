//! What has happened, as the journal keeps it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// An entry of the campaign's books.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The campaign has been opened.
    Opened {
        /// What people see.
        title: String,
        /// The currency that `total` counts.
        currency: Currency,
        /// In that currency.
        goal: Decimal,
    },
    /// A gift has been taken.
    Donated {
        /// Number of its receipt, from 1, without gaps.
        receipt_no: u64,
        /// The giver's own name for it.
        donation_id: String,
        /// Nobody's name is `None`.
        donor: Option<String>,
        /// With the currency's minor digits.
        amount: Decimal,
        /// The campaign's.
        currency: Currency,
        /// All gifts so far, this one included.
        total: Decimal,
        /// How many they are.
        count: u64,
    },
}
