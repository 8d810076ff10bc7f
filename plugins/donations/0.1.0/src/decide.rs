//! What a command leads to.

use host_sdk::{Decision, Rejection};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

use crate::event::Event;
use crate::ledger::Donation;
use crate::limits::{DONATION_ID_BYTES_MAX, DONATIONS_MAX, DONOR_BYTES_MAX, TITLE_BYTES_MAX};
use crate::money::{self, Currency};
use crate::state::{Campaign, Donations};
use crate::text;

type Decided = Result<Decision<Event>, Rejection>;

/// A gift as a client describes it, its fields read and found well formed.
pub(crate) struct Gift {
    donation_id: String,
    donor: Option<String>,
    amount: Decimal,
    currency: Currency,
}

impl Gift {
    pub(crate) fn read(
        donation_id: String,
        donor: Option<String>,
        amount: &str,
        currency: &str,
    ) -> Result<Self, Rejection> {
        let currency = Currency::parse(currency)?;
        Ok(Self {
            donation_id: text::checked("donation_id", donation_id, DONATION_ID_BYTES_MAX)?,
            donor: text::optional("donor", donor, DONOR_BYTES_MAX)?,
            amount: currency.amount(amount)?,
            currency,
        })
    }

    fn is(&self, donation: &Donation) -> bool {
        self.donor == donation.donor
            && self.amount == donation.amount
            && self.currency == donation.currency
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
    pub(crate) fn donate(&self, gift: Gift, fund: Option<&str>) -> Decided {
        // First, and whatever this version takes: an id that a later version
        // took, for another fund or in another currency, still has its receipt.
        if let Some((receipt_no, donation)) = self.ledger.get(&gift.donation_id) {
            return if gift.is(donation) {
                Ok(Decision::answer(&Receipt {
                    receipt_no,
                    donation_id: &donation.donation_id,
                    total: donation.total,
                    count: donation.count,
                    duplicate: true,
                }))
            } else {
                Err(Rejection::new(
                    "conflict",
                    format!(
                        "donation_id {:?} was taken with another donor, amount or currency; \
                         a new gift needs an id of its own",
                        gift.donation_id
                    ),
                ))
            };
        }
        if fund.is_some_and(|fund| fund != "sadaqah") {
            return Err(Rejection::new(
                "bad_fund",
                "this campaign takes sadaqah only, and takes no other gift for it",
            ));
        }
        if gift.currency != self.currency {
            return Err(Rejection::new(
                "wrong_currency",
                format!(
                    "the gift is in {}, the campaign takes {}",
                    gift.currency.code(),
                    self.currency.code()
                ),
            ));
        }
        self.take(gift)
    }

    fn take(&self, gift: Gift) -> Decided {
        if self.ledger.is_full() {
            return Err(Rejection::new(
                "campaign_full",
                format!("a campaign takes {DONATIONS_MAX} gifts; open another for more"),
            ));
        }
        let receipt_no = self.ledger.next_receipt_no();
        let total = money::add(self.total, gift.amount)?;
        let count = self.count + 1;
        let reply = Receipt {
            receipt_no,
            donation_id: &gift.donation_id,
            total,
            count,
            duplicate: false,
        };
        let news = json!({
            "receipt_no": receipt_no,
            "donation_id": gift.donation_id,
            "donor": gift.donor.as_deref().unwrap_or("anonymous"),
            "amount": gift.amount,
            "currency": gift.currency,
            "total": total,
            "count": count,
        });
        let event = Event::Donated {
            receipt_no,
            donation_id: gift.donation_id.clone(),
            donor: gift.donor.clone(),
            amount: gift.amount,
            currency: gift.currency,
            total,
            count,
        };
        Ok(Decision::event(event)
            .broadcast("donation_received", &news)
            .reply(&reply))
    }
}
