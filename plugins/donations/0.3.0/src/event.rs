//! What has happened, as the journal keeps it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::books::Allocation;
use crate::fund::Fund;
use crate::money::Currency;
use crate::pledge::{Cancellation, Pledge};
use crate::subscription::Terms;

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
        /// The pledge that it fulfils, or a part of it.
        pledge_id: Option<String>,
        /// The subscription whose next date it is the gift of.
        subscription_id: Option<String>,
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
    /// Someone has promised to give.
    Pledged {
        /// The giver's own name for the promise.
        pledge_id: String,
        /// What was promised.
        pledge: Pledge,
    },
    /// A gift that had come before is counted towards a pledge.
    PledgeFulfilled {
        /// Which pledge.
        pledge_id: String,
        /// Which gift.
        donation_id: String,
        /// The gift's amount.
        amount: Decimal,
    },
    /// What has not come of a pledge is waited for no more.
    PledgeCancelled {
        /// Which pledge.
        pledge_id: String,
        /// Why.
        cancellation: Cancellation,
    },
    /// Someone has authorised gifts at regular dates.
    Subscribed {
        /// The giver's own name for them.
        subscription_id: String,
        /// What was agreed.
        terms: Terms,
        /// The subject of the token that it came under.
        subject: Option<String>,
    },
    /// A date's gift was there before its timer came: its id was taken by a version
    /// that knows no subscriptions.
    DateCovered {
        /// Which subscription.
        subscription_id: String,
        /// The gift.
        donation_id: String,
    },
    /// No later date has a gift, for this one's could not be taken.
    SubscriptionLapsed {
        /// Which subscription.
        subscription_id: String,
        /// The reason that a `donate` would have been refused with.
        reason: String,
    },
    /// The authorisation was withdrawn.
    Unsubscribed {
        /// Which subscription.
        subscription_id: String,
    },
}
