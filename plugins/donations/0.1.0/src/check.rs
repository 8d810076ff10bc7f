//! The invariants of a campaign's books.

use host_sdk::Violation;
use rust_decimal::Decimal;

use crate::ledger::Donation;
use crate::state::Campaign;

/// The first invariant that does not hold.
///
/// # Errors
///
/// A [`Violation`] that names it and what was found instead.
pub(crate) fn check(campaign: &Campaign) -> Result<(), Violation> {
    if !campaign.ledger.is_unique() {
        return Err(Violation::new(
            "a donation_id is in the ledger once",
            "one is there twice",
        ));
    }
    let zero = campaign.currency.zero();
    if campaign.goal <= zero || campaign.goal.scale() != zero.scale() {
        return Err(Violation::new(
            "the goal is above 0 in the currency's minor digits",
            campaign.goal,
        ));
    }
    let (mut total, mut count) = (zero, 0);
    for (receipt_no, donation) in campaign.ledger.iter() {
        check_donation(receipt_no, donation)?;
        if !donation.refunded && donation.currency == campaign.currency {
            total = sum(total, donation.amount)?;
            count += 1;
        }
    }
    // As texts, for they must agree to the last zero.
    if (total.to_string(), count) != (campaign.total.to_string(), campaign.count) {
        return Err(Violation::new(
            "total and count are the unrefunded donations in the campaign's currency",
            format!(
                "total {} and count {}, where the ledger has {total} and {count}",
                campaign.total, campaign.count
            ),
        ));
    }
    Ok(())
}

fn check_donation(receipt_no: u64, donation: &Donation) -> Result<(), Violation> {
    let zero = donation.currency.zero();
    if donation.amount <= zero || donation.amount.scale() != zero.scale() {
        return Err(Violation::new(
            "an amount is above 0 in its currency's minor digits",
            format!(
                "{} {} under receipt {receipt_no}",
                donation.amount,
                donation.currency.code()
            ),
        ));
    }
    if donation.count > receipt_no {
        return Err(Violation::new(
            "a receipt counts no more donations than there were",
            format!("receipt {receipt_no} counts {}", donation.count),
        ));
    }
    Ok(())
}

fn sum(sum: Decimal, amount: Decimal) -> Result<Decimal, Violation> {
    sum.checked_add(amount)
        .ok_or_else(|| Violation::new("a sum fits", format!("{sum} + {amount} does not")))
}
