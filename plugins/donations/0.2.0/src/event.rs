//! What has happened, as the journal keeps it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::books::Allocation;
use crate::fund::Fund;
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
        /// Any currency.
        currency: Currency,
        /// What it is for.
        fund: Fund,
        /// Whose zakat it pays, if anyone's.
        payer: Option<String>,
        /// The campaign's total after it.
        total: Decimal,
        /// The campaign's count after it.
        count: u64,
    },
    /// A gift has been given back, whole.
    Refunded {
        /// Number of the gift's receipt.
        receipt_no: u64,
        /// Which gift.
        donation_id: String,
        /// The gift's amount.
        amount: Decimal,
        /// The gift's currency.
        currency: Currency,
        /// The fund that it left.
        fund: Fund,
        /// Why.
        reason: String,
        /// The campaign's total after it.
        total: Decimal,
        /// The campaign's count after it.
        count: u64,
    },
    /// Money of a fund has been spent.
    Allocated(Allocation),
}
