//! What a client may ask a campaign.

use schemars::JsonSchema;
use serde::Deserialize;

/// What may be asked to change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Opens the campaign. Once.
    Open {
        /// What people see, 1 to 256 bytes.
        title: String,
        /// ISO 4217 code of the currency that `total` counts.
        currency: String,
        /// Decimal text in that currency, above 0.
        goal: String,
    },
    /// Takes a gift, once for each `donation_id`.
    Donate {
        /// The giver's own name for this gift, 1 to 128 bytes.
        donation_id: String,
        /// Name of the giver, up to 256 bytes; nobody's if it is missing.
        donor: Option<String>,
        /// Decimal text, above 0, with at most the currency's minor digits.
        amount: String,
        /// ISO 4217 code; any that has a minor unit.
        currency: String,
        /// `zakat`, `sadaqah` or `waqf`; `sadaqah` if it is missing.
        fund: Option<String>,
        /// Whose zakat this pays: the key of a zakat actor, 1 to 128 bytes.
        payer: Option<String>,
    },
    /// Gives a whole gift back, once.
    Refund {
        /// Which gift.
        donation_id: String,
        /// Why, 1 to 1024 bytes.
        reason: String,
    },
    /// Spends money of a fund.
    Allocate {
        /// `zakat` or `sadaqah`; a waqf spends nothing.
        fund: String,
        /// For what; zakat has eight categories.
        category: String,
        /// Decimal text, above 0, no more than the fund's balance.
        amount: String,
        /// ISO 4217 code.
        currency: String,
    },
}

/// What may be asked to know.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// The campaign as its page shows it.
    Summary {},
}
