//! Subscriptions: recurring gifts, one for each date that comes due.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::day::{Day, Interval};
use crate::fund::Fund;
use crate::money::Currency;

/// The first half of a subscription's timer's name; the other is its id.
const TIMER: &str = "subscription/";

/// All subscriptions by id, also those that have ended: their ids stay taken.
pub type Subscriptions = BTreeMap<String, Subscription>;

/// An authorisation to take a gift at regular dates, and how far it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// What was agreed.
    pub terms: Terms,
    /// The subject of the token that it came under, if it came under one: who may
    /// end it.
    pub subject: Option<String>,
    /// How many dates have had their gift.
    pub taken: u32,
    /// Whether there will be more.
    pub standing: Standing,
}

/// What a giver has agreed to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Nobody's name is `None`.
    pub donor: Option<String>,
    /// What the gifts are for.
    pub fund: Fund,
    /// Of each gift, with the currency's minor digits.
    pub amount: Decimal,
    /// Any currency.
    pub currency: Currency,
    /// Whose zakat they pay, if anyone's.
    pub payer: Option<String>,
    /// How often.
    pub every: Interval,
    /// The first date.
    pub start_on: Day,
    /// How many gifts; until it is ended if it is missing.
    pub times: Option<u32>,
}

/// Whether a subscription goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The next date's gift will be taken.
    Active,
    /// Every gift that was agreed has been taken.
    Completed,
    /// The giver, or a treasurer, has ended it.
    Ended,
    /// A gift could not be taken, so no later one is.
    Lapsed {
        /// The reason that a `donate` would have been refused with.
        reason: String,
    },
}

impl Terms {
    /// The date of the gift with this number, from 1; `None` if there is none.
    #[must_use]
    pub fn due_on(&self, number: u32) -> Option<Day> {
        if self.times.is_some_and(|times| number > times) {
            return None;
        }
        self.start_on.after(number.checked_sub(1)?, self.every)
    }
}

impl Subscription {
    /// A subscription of which no gift was taken yet.
    #[must_use]
    pub fn new(terms: Terms, subject: Option<String>) -> Self {
        Self {
            terms,
            subject,
            taken: 0,
            standing: Standing::Active,
        }
    }

    /// The number and the date of the next gift, while it is active.
    #[must_use]
    pub fn next(&self) -> Option<(u32, Day)> {
        let number = self.taken.checked_add(1)?;
        let is_active = self.standing == Standing::Active;
        let due_on = self.terms.due_on(number).filter(|_| is_active)?;
        Some((number, due_on))
    }

    /// The next date has had its gift.
    pub(crate) fn advance(&mut self) {
        self.taken = self.taken.saturating_add(1);
        if self.next().is_none() && self.standing == Standing::Active {
            self.standing = Standing::Completed;
        }
    }
}

/// The name of a subscription's timer.
pub(crate) fn timer_name(subscription_id: &str) -> String {
    format!("{TIMER}{subscription_id}")
}

/// The subscription that a timer belongs to.
pub(crate) fn of_timer(name: &str) -> Option<&str> {
    name.strip_prefix(TIMER)
}

/// The donation id of a subscription's gift: the same each time that it is tried.
pub(crate) fn donation_id(subscription_id: &str, number: u32) -> String {
    format!("{}{number}", donation_id_prefix(subscription_id))
}

/// What the donation ids of a subscription's gifts begin with.
pub(crate) fn donation_id_prefix(subscription_id: &str) -> String {
    format!("{subscription_id}/")
}

/// The subscription whose gift has this donation id, if it has the form of one.
pub(crate) fn of_donation_id(donation_id: &str) -> Option<&str> {
    let (subscription_id, number) = donation_id.rsplit_once('/')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(subscription_id)
}
