//! The invariants of a payer's record.

use host_sdk::Violation;
use rust_decimal::Decimal;

use crate::money::{FIGURE_LIMIT, Money, SCALE_MAX};
use crate::state::{
    ASSETS_MAX, CROP_LEN_MAX, DEBTS_MAX, FINDS_MAX, HARVESTS_MAX, ID_LEN_MAX, PAYMENTS_MAX,
};
use crate::{Holding, Purity, Zakat};

/// The first invariant that is broken.
pub(crate) fn check(zakat: &Zakat) -> Result<(), Violation> {
    at_most("assets", zakat.assets.len(), ASSETS_MAX)?;
    at_most("debts", zakat.debts.len(), DEBTS_MAX)?;
    at_most("harvests", zakat.harvests.len(), HARVESTS_MAX)?;
    at_most("finds", zakat.finds.len(), FINDS_MAX)?;
    // Reversed payments are not in this count: 0.1.0 does not see them, and may
    // fill the room that they had.
    let standing = zakat.standing_payments();
    at_most("payments that stand", standing, PAYMENTS_MAX)?;
    for (id, asset) in &zakat.assets {
        named(id)?;
        holding(id, &asset.holding)?;
    }
    for (id, payment) in &zakat.payments {
        named(id)?;
        money(id, &payment.money)?;
    }
    for (id, debt) in &zakat.debts {
        named(id)?;
        money(id, &debt.money)?;
    }
    for (id, harvest) in &zakat.harvests {
        named(id)?;
        figure(id, "kg", harvest.kg)?;
        figure(id, "price_per_kg", harvest.price_per_kg)?;
        holds(
            (1..=CROP_LEN_MAX).contains(&harvest.crop.len()),
            || format!("{id}: a crop has a name of 1 to {CROP_LEN_MAX} bytes"),
            harvest.crop.len(),
        )?;
    }
    for (id, find) in &zakat.finds {
        named(id)?;
        money(id, &find.money)?;
    }
    Ok(())
}

fn at_most(what: &str, found: usize, max: usize) -> Result<(), Violation> {
    holds(found <= max, || format!("at most {max} {what}"), found)
}

fn named(id: &str) -> Result<(), Violation> {
    holds(
        (1..=ID_LEN_MAX).contains(&id.len()),
        || format!("an id has 1 to {ID_LEN_MAX} bytes"),
        id.len(),
    )
}

fn holding(id: &str, holding: &Holding) -> Result<(), Violation> {
    match holding {
        Holding::Cash(m) | Holding::TradeGoods(m) | Holding::Receivables(m) => money(id, m),
        Holding::Gold { grams, purity } | Holding::Silver { grams, purity } => {
            figure(id, "grams", *grams)?;
            let (what, part, whole) = match *purity {
                Purity::Karat(karat) => ("karat", karat, 24),
                Purity::Fineness(fineness) => ("fineness", fineness, 1),
            };
            figure(id, what, part)?;
            holds(
                part <= Decimal::from(whole),
                || format!("{id}: {what} is at most {whole}"),
                part,
            )
        }
    }
}

fn money(id: &str, money: &Money) -> Result<(), Violation> {
    figure(id, "amount", money.amount)?;
    holds(
        money.amount.scale() == money.currency.digits(),
        || {
            format!(
                "{id}: an amount in {} has {} digits behind the point",
                money.currency.code(),
                money.currency.digits()
            )
        },
        money.amount,
    )
}

fn figure(id: &str, what: &str, value: Decimal) -> Result<(), Violation> {
    holds(
        Decimal::ZERO < value && value < Decimal::from(FIGURE_LIMIT) && value.scale() <= SCALE_MAX,
        || format!("{id}: {what} is above 0, below 10^18, with at most {SCALE_MAX} decimals"),
        value,
    )
}

fn holds(
    is: bool,
    invariant: impl FnOnce() -> String,
    found: impl std::fmt::Display,
) -> Result<(), Violation> {
    if is {
        Ok(())
    } else {
        Err(Violation::new(invariant(), found))
    }
}
