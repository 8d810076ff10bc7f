//! What `pledge`, `fulfil` and `cancel_pledge` lead to: promises, and no money moves.

use host_sdk::{Cx, Decision, Rejection};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};

use crate::access;
use crate::day::Day;
use crate::decide::Decided;
use crate::event::Event;
use crate::fund::Fund;
use crate::ledger::Donation;
use crate::limits::{
    DONATION_ID_BYTES_MAX, DONOR_BYTES_MAX, PLEDGE_ID_BYTES_MAX, PLEDGES_MAX, REASON_BYTES_MAX,
};
use crate::money::Currency;
use crate::pledge::{Cancellation, Pledge};
use crate::state::Campaign;
use crate::text;

/// The answer to `pledge`.
#[derive(Serialize)]
struct Promise<'a> {
    pledge_id: &'a str,
    fund: Fund,
    amount: Decimal,
    currency: Currency,
    due_on: Option<Day>,
    fulfilled: Decimal,
    outstanding: Decimal,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl Pledge {
    /// A pledge as a client describes it, its fields read and found well formed.
    pub(crate) fn read(
        donor: Option<String>,
        fund: Option<&str>,
        (amount, currency): (&str, &str),
        due_on: Option<Day>,
        subject: Option<String>,
    ) -> Result<Self, Rejection> {
        let currency = Currency::parse(currency)?;
        Ok(Self {
            donor: text::optional("donor", donor, DONOR_BYTES_MAX)?,
            fund: Fund::parse(fund)?,
            amount: currency.amount(amount)?,
            currency,
            due_on,
            subject,
            cancelled: None,
        })
    }

    /// Whether it promises the same, whoever says it and whatever became of it.
    fn promises(&self, other: &Self) -> bool {
        self.donor == other.donor
            && self.fund == other.fund
            && self.amount == other.amount
            && self.currency == other.currency
            && self.due_on == other.due_on
    }
}

impl Campaign {
    pub(crate) fn pledge(&self, pledge_id: String, pledge: Pledge) -> Decided {
        let pledge_id = text::checked("pledge_id", pledge_id, PLEDGE_ID_BYTES_MAX)?;
        match self.pledges.get(&pledge_id) {
            Some(known) if known.promises(&pledge) => {
                let mut promise = self.promise(&pledge_id, known);
                promise.duplicate = true;
                return Ok(Decision::answer(&promise));
            }
            Some(_) => {
                return Err(Rejection::new(
                    "conflict",
                    format!(
                        "pledge_id {pledge_id:?} stands for another donor, fund, amount, currency \
                         or due_on; a new pledge needs an id of its own"
                    ),
                ));
            }
            None => {}
        }
        if self.pledges.room() == 0 {
            return Err(Rejection::new(
                "campaign_full",
                format!("a campaign takes {PLEDGES_MAX} pledges; open another for more"),
            ));
        }
        let promise = self.promise(&pledge_id, &pledge);
        let mut news = json!(promise);
        news["donor"] = json!(pledge.donor.as_deref().unwrap_or("anonymous"));
        let reply = json!(promise);
        Ok(Decision::event(Event::Pledged { pledge_id, pledge })
            .broadcast("pledge_made", &news)
            .reply(&reply))
    }

    pub(crate) fn fulfil(&self, pledge_id: String, donation_id: String) -> Decided {
        let donation_id = text::checked("donation_id", donation_id, DONATION_ID_BYTES_MAX)?;
        let pledge = self.pledged(&pledge_id)?;
        let Some((_, donation)) = self.ledger.get(&donation_id) else {
            return Err(Rejection::new(
                "unknown_donation",
                format!("this campaign took no gift {donation_id:?}"),
            ));
        };
        if donation.refund.is_some() {
            return Err(Rejection::new(
                "already_refunded",
                format!("{donation_id:?} was given back, so it fulfils nothing"),
            ));
        }
        match donation.pledge_id.as_deref() {
            None => {}
            Some(known) if known == pledge_id => {
                let mut reply = self.progress(&pledge_id, pledge, Decimal::ZERO);
                reply["duplicate"] = json!(true);
                return Ok(Decision::answer(&reply));
            }
            Some(known) => {
                return Err(Rejection::new(
                    "conflict",
                    format!("{donation_id:?} fulfils the pledge {known:?} already"),
                ));
            }
        }
        let Donation {
            fund,
            amount,
            currency,
            ..
        } = *donation;
        self.fits(&pledge_id, (fund, amount, currency))?;
        let news = self.progress(&pledge_id, pledge, amount);
        Ok(Decision::event(Event::PledgeFulfilled {
            pledge_id,
            donation_id,
            amount,
        })
        .broadcast("pledge_fulfilled", &news)
        .reply(&news))
    }

    pub(crate) fn cancel_pledge(&self, cx: &Cx<'_>, pledge_id: String, reason: String) -> Decided {
        let reason = text::checked("reason", reason, REASON_BYTES_MAX)?;
        let pledge = self.pledged(&pledge_id)?;
        access::owner(cx, pledge.subject.as_deref())?;
        if pledge.cancelled.is_some() {
            return Err(cancelled(&pledge_id));
        }
        let mut news = self.progress(&pledge_id, pledge, Decimal::ZERO);
        news["cancelled"] = news["outstanding"].take();
        news["outstanding"] = json!(pledge.currency.zero());
        Ok(Decision::event(Event::PledgeCancelled {
            pledge_id,
            cancellation: Cancellation { reason },
        })
        .broadcast("pledge_cancelled", &news)
        .reply(&news))
    }

    /// Whether a gift fulfils a pledge, or a part of it.
    pub(crate) fn fits(
        &self,
        pledge_id: &str,
        (fund, amount, currency): (Fund, Decimal, Currency),
    ) -> Result<(), Rejection> {
        let pledge = self.pledged(pledge_id)?;
        if pledge.cancelled.is_some() {
            return Err(cancelled(pledge_id));
        }
        if (fund, currency) != (pledge.fund, pledge.currency) {
            return Err(Rejection::new(
                "wrong_pledge",
                format!(
                    "the pledge {pledge_id:?} is to {} in {}, the gift is to {} in {}",
                    pledge.fund.name(),
                    pledge.currency.code(),
                    fund.name(),
                    currency.code()
                ),
            ));
        }
        let missing = self.pledges.missing(pledge_id, pledge);
        if amount > missing {
            return Err(Rejection::new(
                "pledge_exceeded",
                format!(
                    "{missing} {} of the pledge {pledge_id:?} is outstanding; give what is more \
                     as a gift of its own, without a pledge_id",
                    currency.code()
                ),
            ));
        }
        Ok(())
    }

    fn pledged(&self, pledge_id: &str) -> Result<&Pledge, Rejection> {
        self.pledges.get(pledge_id).ok_or_else(|| {
            // What a client sent is shown in part only: it can be of any length.
            let shown: String = pledge_id.chars().take(PLEDGE_ID_BYTES_MAX).collect();
            Rejection::new(
                "unknown_pledge",
                format!("nobody has made a pledge {shown:?} to this campaign"),
            )
        })
    }

    fn promise<'a>(&self, pledge_id: &'a str, pledge: &Pledge) -> Promise<'a> {
        let missing = self.pledges.missing(pledge_id, pledge);
        let is_cancelled = pledge.cancelled.is_some();
        Promise {
            pledge_id,
            fund: pledge.fund,
            amount: pledge.amount,
            currency: pledge.currency,
            due_on: pledge.due_on,
            fulfilled: self.pledges.fulfilled(pledge_id, pledge),
            outstanding: if is_cancelled {
                pledge.currency.zero()
            } else {
                missing
            },
            duplicate: false,
        }
    }

    /// How a pledge stands after another `amount` of it has come.
    fn progress(&self, pledge_id: &str, pledge: &Pledge, amount: Decimal) -> Value {
        let mut promise = self.promise(pledge_id, pledge);
        promise.fulfilled = promise.fulfilled.saturating_add(amount);
        promise.outstanding = promise.outstanding.saturating_sub(amount);
        json!(promise)
    }
}

fn cancelled(pledge_id: &str) -> Rejection {
    Rejection::new(
        "pledge_cancelled",
        format!("the pledge {pledge_id:?} was cancelled; a gift without a pledge_id is welcome"),
    )
}
