//! What `open` and `donate` lead to, and how every gift is taken.

use host_sdk::{Decision, Rejection};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

use crate::event::Event;
use crate::fund::Fund;
use crate::ledger::{self, Donation};
use crate::limits::{
    DONATION_ID_BYTES_MAX, DONATIONS_MAX, DONOR_BYTES_MAX, PAYER_BYTES_MAX, TITLE_BYTES_MAX,
};
use crate::money::{self, Currency};
use crate::state::{Campaign, Donations};
use crate::{subscription, text};

pub(crate) type Decided = Result<Decision<Event>, Rejection>;

/// A gift as a client describes it, its fields read and found well formed.
#[derive(Debug, PartialEq)]
pub(crate) struct Gift {
    pub(crate) donation_id: String,
    pub(crate) donor: Option<String>,
    pub(crate) amount: Decimal,
    pub(crate) currency: Currency,
    pub(crate) fund: Fund,
    pub(crate) payer: Option<String>,
    /// The pledge that it is to fulfil.
    pub(crate) pledge_id: Option<String>,
    /// The subscription whose next date it is the gift of.
    pub(crate) subscription_id: Option<String>,
}

impl Gift {
    pub(crate) fn read(
        donation_id: String,
        donor: Option<String>,
        (amount, currency): (&str, &str),
        fund: Option<&str>,
        payer: Option<String>,
    ) -> Result<Self, Rejection> {
        let currency = Currency::parse(currency)?;
        Ok(Self {
            donation_id: text::checked("donation_id", donation_id, DONATION_ID_BYTES_MAX)?,
            donor: text::optional("donor", donor, DONOR_BYTES_MAX)?,
            amount: currency.amount(amount)?,
            currency,
            fund: Fund::parse(fund)?,
            payer: payer
                .map(|payer| text::actor_key("payer", payer, PAYER_BYTES_MAX))
                .transpose()?,
            pledge_id: None,
            subscription_id: None,
        })
    }

    /// The same, to fulfil a pledge.
    pub(crate) fn towards(mut self, pledge_id: Option<String>) -> Self {
        self.pledge_id = pledge_id;
        self
    }

    /// Another pledge makes it another gift. One where there was none does not, nor none
    /// where there is one: 0.2.0 lets the name of a pledge fall, and `fulfil` adds it.
    fn is(&self, donation: &Donation) -> bool {
        let both = self.pledge_id.as_ref().zip(donation.pledge_id.as_ref());
        both.is_none_or(|(one, other)| one == other)
            && self.donor == donation.donor
            && self.amount == donation.amount
            && self.currency == donation.currency
            && self.fund == donation.fund
            && self.payer == donation.payer
    }
}

/// The answer to `donate`.
#[derive(Serialize)]
struct Receipt<'a> {
    receipt_no: u64,
    donation_id: &'a str,
    total: Decimal,
    count: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl Donations {
    pub(crate) fn opened(&self) -> Result<&Campaign, Rejection> {
        self.campaign.as_ref().ok_or_else(|| {
            Rejection::new(
                "campaign_not_open",
                "nobody has opened this campaign; `open` does",
            )
        })
    }

    pub(crate) fn open(&self, title: String, currency: &str, goal: &str) -> Decided {
        if let Some(campaign) = &self.campaign {
            return Err(Rejection::new(
                "already_open",
                format!("the campaign is open, as {:?}", campaign.title),
            ));
        }
        let title = text::checked("title", title, TITLE_BYTES_MAX)?;
        let currency = Currency::parse(currency)?;
        let goal = currency.amount(goal)?;
        let opened = json!({ "title": title, "currency": currency, "goal": goal });
        Ok(Decision::event(Event::Opened {
            title,
            currency,
            goal,
        })
        .broadcast("campaign_opened", &opened)
        .reply(&opened))
    }
}

impl Campaign {
    /// `key` is the campaign's: the first half of a payment's id.
    pub(crate) fn donate(&self, key: &str, gift: Gift) -> Decided {
        match self.ledger.get(&gift.donation_id) {
            None => {
                self.is_free(&gift.donation_id)?;
                self.take(key, gift)
            }
            Some((receipt_no, donation)) if gift.is(donation) => Ok(Decision::answer(&Receipt {
                receipt_no,
                donation_id: &donation.donation_id,
                total: donation.total,
                count: donation.count,
                duplicate: true,
            })),
            Some(_) => Err(Rejection::new(
                "conflict",
                format!(
                    "donation_id {:?} was taken with another donor, amount, currency, fund, \
                     payer or pledge; a new gift needs an id of its own",
                    gift.donation_id
                ),
            )),
        }
    }

    /// Whether no subscription will give under this id.
    fn is_free(&self, donation_id: &str) -> Result<(), Rejection> {
        match subscription::of_donation_id(donation_id) {
            Some(id) if self.subscriptions.contains_key(id) => Err(Rejection::new(
                "conflict",
                format!(
                    "donation_id {donation_id:?} is kept for the subscription {id:?}; a gift \
                     beside it needs an id of its own"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Takes a gift under an id that is not taken yet.
    pub(crate) fn take(&self, key: &str, gift: Gift) -> Decided {
        if self.ledger.room() == 0 {
            return Err(Rejection::new(
                "campaign_full",
                format!("a campaign takes {DONATIONS_MAX} gifts; open another for more"),
            ));
        }
        if let Some(pledge_id) = &gift.pledge_id {
            self.fits(pledge_id, (gift.fund, gift.amount, gift.currency))?;
        }
        if let Some(account) = self.books.account(gift.fund, gift.currency) {
            money::add(account.received, gift.amount)?;
        }
        let (total, count) = if gift.currency == self.currency {
            (
                money::add(self.books.total, gift.amount)?,
                self.books.count + 1,
            )
        } else {
            (self.books.total, self.books.count)
        };
        let receipt_no = self.ledger.next_receipt_no();
        let reply = Receipt {
            receipt_no,
            donation_id: &gift.donation_id,
            total,
            count,
            duplicate: false,
        };
        let mut news = json!({
            "receipt_no": receipt_no,
            "donation_id": gift.donation_id,
            "donor": gift.donor.as_deref().unwrap_or("anonymous"),
            "amount": gift.amount,
            "currency": gift.currency,
            "fund": gift.fund,
            "total": total,
            "count": count,
        });
        for (name, id) in [
            ("pledge_id", &gift.pledge_id),
            ("subscription_id", &gift.subscription_id),
        ] {
            if let Some(id) = id {
                news[name] = json!(id);
            }
        }
        let mut decision = Decision::event(Event::Donated {
            receipt_no,
            donation_id: gift.donation_id.clone(),
            donor: gift.donor.clone(),
            amount: gift.amount,
            currency: gift.currency,
            fund: gift.fund,
            payer: gift.payer.clone(),
            pledge_id: gift.pledge_id,
            subscription_id: gift.subscription_id,
            total,
            count,
        })
        .broadcast("donation_received", &news)
        .reply(&reply);
        if let Some(zakat) = ledger::zakat_actor(gift.fund, gift.payer.as_deref()) {
            let payment = json!({
                "payment_id": payment_id(key, &gift.donation_id),
                "amount": gift.amount,
                "currency": gift.currency,
            });
            decision = decision.cast(zakat, "pay", &payment);
        }
        Ok(decision)
    }
}

/// How the payer's zakat knows a gift, whatever other campaigns call theirs.
pub(crate) fn payment_id(key: &str, donation_id: &str) -> String {
    format!("{key}/{donation_id}")
}
