//! What `refund` and `allocate` lead to: money leaves a fund, never below 0.

use host_sdk::{Decision, Rejection};
use rust_decimal::Decimal;
use serde_json::json;

use crate::books::Allocation;
use crate::decide::{Decided, payment_id};
use crate::event::Event;
use crate::fund::Fund;
use crate::limits::{ALLOCATIONS_MAX, DONATION_ID_BYTES_MAX, REASON_BYTES_MAX};
use crate::money::Currency;
use crate::state::Campaign;
use crate::text;

impl Campaign {
    /// `key` is the campaign's: the first half of a payment's id.
    pub(crate) fn refund(&self, key: &str, donation_id: String, reason: String) -> Decided {
        let donation_id = text::checked("donation_id", donation_id, DONATION_ID_BYTES_MAX)?;
        let reason = text::checked("reason", reason, REASON_BYTES_MAX)?;
        let Some((receipt_no, donation)) = self.ledger.get(&donation_id) else {
            return Err(Rejection::new(
                "unknown_donation",
                format!("this campaign took no gift {donation_id:?}"),
            ));
        };
        if donation.refund.is_some() {
            return Err(Rejection::new(
                "already_refunded",
                format!("{donation_id:?} was given back before, whole"),
            ));
        }
        let (fund, amount, currency) = (donation.fund, donation.amount, donation.currency);
        let balance = self.covered(fund, amount, currency)?;
        let (total, count) = if currency == self.currency {
            (
                self.books.total.saturating_sub(amount),
                self.books.count.saturating_sub(1),
            )
        } else {
            (self.books.total, self.books.count)
        };
        let news = json!({
            "receipt_no": receipt_no,
            "donation_id": donation_id,
            "amount": amount,
            "currency": currency,
            "fund": fund,
            "balance": balance,
            "total": total,
            "count": count,
        });
        let payment = json!({ "payment_id": payment_id(key, &donation_id) });
        let decision = Decision::event(Event::Refunded {
            receipt_no,
            donation_id,
            amount,
            currency,
            fund,
            reason,
            total,
            count,
        })
        .broadcast("donation_refunded", &news)
        .reply(&news);
        Ok(match donation.zakat_actor() {
            Some(zakat) => decision.cast(zakat, "pay_reversed", &payment),
            None => decision,
        })
    }

    pub(crate) fn allocate(
        &self,
        fund: &str,
        category: String,
        amount: &str,
        currency: &str,
    ) -> Decided {
        let fund = Fund::parse(Some(fund))?;
        let category = fund.category(category)?;
        let currency = Currency::parse(currency)?;
        let amount = currency.amount(amount)?;
        let balance = self.covered(fund, amount, currency)?;
        if self.room_to_allocate() == 0 {
            return Err(Rejection::new(
                "campaign_full",
                format!("a campaign takes {ALLOCATIONS_MAX} allocations; no more can be made"),
            ));
        }
        let news = json!({
            "fund": fund,
            "category": category,
            "amount": amount,
            "currency": currency,
            "balance": balance,
        });
        let allocation = Allocation {
            fund,
            category,
            amount,
            currency,
        };
        Ok(Decision::event(Event::Allocated(allocation))
            .broadcast("funds_allocated", &news)
            .reply(&news))
    }

    /// How many more allocations there may be.
    pub(crate) fn room_to_allocate(&self) -> usize {
        ALLOCATIONS_MAX.saturating_sub(self.allocations.len())
    }

    /// What a fund has left after an amount, if it has that much.
    fn covered(
        &self,
        fund: Fund,
        amount: Decimal,
        currency: Currency,
    ) -> Result<Decimal, Rejection> {
        let balance = self.books.balance(fund, currency);
        let left = balance.saturating_sub(amount);
        if left.is_sign_negative() && !left.is_zero() {
            return Err(Rejection::new(
                "insufficient_funds",
                format!(
                    "{amount} is to leave {fund}, which has {balance} in {currency}; \
                     no other fund makes up for it",
                    fund = fund.name(),
                    currency = currency.code()
                ),
            ));
        }
        Ok(left)
    }
}
