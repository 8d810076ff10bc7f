//! The invariants of a campaign's books.

use host_sdk::Violation;
use rust_decimal::Decimal;

use crate::books::Books;
use crate::fund::Fund;
use crate::money::Currency;
use crate::state::Campaign;

/// The first invariant that does not hold.
///
/// # Errors
///
/// A [`Violation`] that names it and what was found instead.
pub(crate) fn check(campaign: &Campaign) -> Result<(), Violation> {
    check_content(campaign)?;
    let rebuilt = Books::rebuilt(campaign.currency, &campaign.ledger, &campaign.allocations);
    let same_digits = rebuilt.total.scale() == campaign.books.total.scale();
    if rebuilt != campaign.books || !same_digits {
        return Err(Violation::new(
            "the books are what the ledger and the allocations add up to",
            format!(
                "a total of {} and a count of {}, where these add up to {} and {}; \
                 accounts {}, donors {}",
                campaign.books.total,
                campaign.books.count,
                rebuilt.total,
                rebuilt.count,
                agreement(rebuilt.accounts == campaign.books.accounts),
                agreement(rebuilt.donors == campaign.books.donors),
            ),
        ));
    }
    Ok(())
}

/// [`check`] without adding everything up again: for books that have just been.
pub(crate) fn check_content(campaign: &Campaign) -> Result<(), Violation> {
    if !campaign.ledger.is_unique() {
        return Err(Violation::new(
            "a donation_id is in the ledger once",
            "one is there twice",
        ));
    }
    money("the goal", campaign.goal, campaign.currency)?;
    check_entries(campaign)?;
    check_accounts(&campaign.books)
}

fn agreement(agree: bool) -> &'static str {
    if agree { "agree" } else { "differ" }
}

fn check_entries(campaign: &Campaign) -> Result<(), Violation> {
    for (receipt_no, donation) in campaign.ledger.iter() {
        money("a donation", donation.amount, donation.currency)?;
        if donation.count > receipt_no {
            return Err(Violation::new(
                "a receipt counts no more donations than there were",
                format!("receipt {receipt_no} counts {}", donation.count),
            ));
        }
    }
    for allocation in &campaign.allocations {
        money("an allocation", allocation.amount, allocation.currency)?;
        if !allocation.fund.allows(&allocation.category) {
            return Err(Violation::new(
                "a fund spends on its own categories only, and a waqf on none",
                format!("{} on {:?}", allocation.fund.name(), allocation.category),
            ));
        }
    }
    Ok(())
}

fn check_accounts(books: &Books) -> Result<(), Violation> {
    for (fund, accounts) in &books.accounts {
        for (currency, account) in accounts {
            let sums = [account.received, account.refunded, account.allocated];
            let digits = currency.minor_digits();
            if sums.iter().any(|sum| sum.scale() != digits) {
                return Err(Violation::new(
                    "a sum has its currency's minor digits",
                    format!("{} has {sums:?} {}", fund.name(), currency.code()),
                ));
            }
            if account.balance() < currency.zero() {
                return Err(overdrawn(*fund, *currency, account.balance()));
            }
        }
    }
    Ok(())
}

fn overdrawn(fund: Fund, currency: Currency, balance: Decimal) -> Violation {
    Violation::new(
        "a balance, received - refunded - allocated, is never below 0",
        format!("{} has {balance} {}", fund.name(), currency.code()),
    )
}

fn money(what: &str, amount: Decimal, currency: Currency) -> Result<(), Violation> {
    let zero = currency.zero();
    if amount > zero && amount.scale() == zero.scale() {
        return Ok(());
    }
    Err(Violation::new(
        "an amount is above 0 in its currency's minor digits",
        format!("{what} of {amount} {}", currency.code()),
    ))
}
