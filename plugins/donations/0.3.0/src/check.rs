//! The invariants of a campaign's books.

use host_sdk::Violation;
use rust_decimal::Decimal;

use crate::books::Books;
use crate::fund::Fund;
use crate::money::Currency;
use crate::pledge::Pledges;
use crate::state::Campaign;
use crate::subscription::{self, Standing};

/// The first invariant that does not hold.
///
/// # Errors
///
/// A [`Violation`] that names it and what was found instead.
pub(crate) fn check(campaign: &Campaign) -> Result<(), Violation> {
    check_content(campaign)?;
    let rebuilt = Books::rebuilt(campaign.currency, &campaign.ledger, &campaign.allocations);
    let promised = Pledges::rebuilt(campaign.pledges.all().clone(), &campaign.ledger);
    if promised != campaign.pledges {
        return Err(Violation::new(
            "what has come of a pledge is what the gifts that name it add up to",
            "they differ",
        ));
    }
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
    check_pledges(campaign)?;
    check_subscriptions(campaign)?;
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

fn check_pledges(campaign: &Campaign) -> Result<(), Violation> {
    for (pledge_id, pledge) in campaign.pledges.all() {
        money("a pledge", pledge.amount, pledge.currency)?;
        let missing = campaign.pledges.missing(pledge_id, pledge);
        if missing < pledge.currency.zero() {
            return Err(Violation::new(
                "no more comes of a pledge than was promised",
                format!("{} more of {pledge_id:?}", -missing),
            ));
        }
    }
    for (_, donation) in campaign.ledger.iter() {
        let Some(pledge_id) = &donation.pledge_id else {
            continue;
        };
        let pledge = campaign.pledges.get(pledge_id);
        if pledge.is_none_or(|p| (p.fund, p.currency) != (donation.fund, donation.currency)) {
            return Err(Violation::new(
                "a gift fulfils a pledge to its own fund and in its own currency",
                format!("{:?} names {pledge_id:?}", donation.donation_id),
            ));
        }
    }
    Ok(())
}

fn check_subscriptions(campaign: &Campaign) -> Result<(), Violation> {
    for (subscription_id, subscription) in &campaign.subscriptions {
        let terms = &subscription.terms;
        money("a subscription", terms.amount, terms.currency)?;
        for number in 1..=subscription.taken {
            let donation_id = subscription::donation_id(subscription_id, number);
            if campaign.ledger.get(&donation_id).is_none() {
                return Err(Violation::new(
                    "each date of a subscription that is over has a gift",
                    format!("{donation_id:?} is missing"),
                ));
            }
        }
        let is_over = terms.due_on(subscription.taken.saturating_add(1)).is_none();
        let has_ended = subscription.standing == Standing::Completed;
        if is_over != has_ended || terms.times.is_some_and(|times| subscription.taken > times) {
            return Err(Violation::new(
                "a subscription is completed with its last date, and not before or after",
                format!("{subscription_id:?} after {} dates", subscription.taken),
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
