//! What a client may ask a campaign.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::day::Day;

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
        /// The pledge that it fulfils, or a part of it: one to the same fund, in the
        /// same currency, of which at least as much is outstanding.
        pledge_id: Option<String>,
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
    /// Promises to give, once for each `pledge_id`. No money moves.
    Pledge {
        /// The giver's own name for the promise, 1 to 128 bytes.
        pledge_id: String,
        /// Name of the giver, up to 256 bytes.
        donor: Option<String>,
        /// `zakat`, `sadaqah` or `waqf`; `sadaqah` if it is missing.
        fund: Option<String>,
        /// Decimal text, as of a gift.
        amount: String,
        /// ISO 4217 code.
        currency: String,
        /// The day by which it is to be given, as `2026-12-31`.
        due_on: Option<Day>,
    },
    /// Counts a gift that is there already towards a pledge.
    Fulfil {
        /// Which pledge.
        pledge_id: String,
        /// Which gift: one that fulfils no pledge yet and was not given back.
        donation_id: String,
    },
    /// Waits no more for what has not come of a pledge.
    CancelPledge {
        /// Which pledge.
        pledge_id: String,
        /// Why, 1 to 1024 bytes.
        reason: String,
    },
    /// Authorises gifts at regular dates, once for each `subscription_id`.
    Subscribe(Subscribe),
    /// Withdraws that; gifts that were taken stay.
    Unsubscribe {
        /// Which subscription.
        subscription_id: String,
    },
}

/// Gifts at regular dates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// The giver's own name for them, 1 to 100 bytes. The gift of the third date has
    /// the donation id `{subscription_id}/3`.
    pub subscription_id: String,
    /// Name of the giver, up to 256 bytes.
    pub donor: Option<String>,
    /// `zakat`, `sadaqah` or `waqf`; `sadaqah` if it is missing.
    pub fund: Option<String>,
    /// Of each gift: decimal text.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Whose zakat they pay: the key of a zakat actor.
    pub payer: Option<String>,
    /// `day`, `week`, `month` or `year`.
    pub every: String,
    /// The first date, at most a year ago; today if it is missing. A date begins at
    /// midnight, UTC.
    pub start_on: Option<Day>,
    /// How many gifts, at least 1; until it is ended if it is missing.
    pub times: Option<u32>,
}

/// What may be asked to know.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// The campaign as its page shows it.
    Summary {},
}
