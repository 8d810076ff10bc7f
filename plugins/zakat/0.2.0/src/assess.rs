//! What is due: a pure function of the record, a day and its prices.

use std::collections::BTreeMap;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::market::{Market, Nisab, Prices};
use crate::money::{Currency, Fraction, exact, round, zero};
use crate::seasonal::{self, CropShare, FindShare, Period};
use crate::{Asset, Day, Year, Zakat};

/// What `assess` is asked.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Question {
    /// The currency of the answer, ISO 4217.
    pub currency: String,
    /// Which metal the threshold is measured in.
    pub nisab: Nisab,
    /// In that currency.
    #[serde(default)]
    pub prices: Prices,
    /// The day that is asked about; today (UTC) by default.
    pub as_of: Option<Day>,
    /// Payments, harvests and finds after this day count; one lunar year before
    /// `as_of` by default.
    pub paid_since: Option<Day>,
}

/// The answer. Each figure is rounded once, from exact ones, so the parts of the
/// breakdown may differ from the whole by a minor unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// The currency of all figures.
    pub currency: Currency,
    /// The day that was asked about.
    pub as_of: Day,
    /// The period asked about is after this day, up to `as_of`.
    pub paid_since: Day,
    /// All wealth that counts, less the debts that are due.
    pub zakatable: Decimal,
    /// The threshold.
    pub nisab: Decimal,
    /// What is to be given: of wealth, crops and finds.
    pub due: Decimal,
    /// What was given.
    pub paid: Decimal,
    /// What is still to be given: the difference of the two figures above as
    /// they stand here, so that the answer adds up; 0 where more was paid.
    pub outstanding: Decimal,
    /// Where it comes from.
    pub breakdown: Breakdown,
}

/// The parts of an [`Assessment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// By asset id, in order, also those that do not count yet.
    pub assets: Vec<AssetShare>,
    /// The debts that were taken from the wealth.
    pub debts: Vec<DebtShare>,
    /// What is due of the wealth.
    pub wealth: Wealth,
    /// The period's harvests.
    pub crops: Vec<CropShare>,
    /// The period's finds.
    pub rikaz: Vec<FindShare>,
}

/// One asset's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetShare {
    /// As it was declared.
    pub asset_id: String,
    /// As it was declared.
    pub kind: &'static str,
    /// In the answer's currency.
    pub value: Decimal,
    /// A day, or `unknown`.
    pub held_since: String,
    /// Whether it is part of what is zakatable.
    pub counts: bool,
}

/// One debt's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DebtShare {
    /// As it was stated.
    pub debt_id: String,
    /// As it was stated.
    pub due_on: Day,
    /// In the answer's currency.
    pub value: Decimal,
}

/// What is due of the wealth alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wealth {
    /// `0.025` or `0.02577`.
    pub rate: Decimal,
    /// In the answer's currency; 0 below the nisab.
    pub due: Decimal,
}

/// Answers `question`.
///
/// # Errors
///
/// `bad_currency`, `bad_amount` for a price that is no decimal above zero,
/// `missing_price`, `missing_rate`.
pub(crate) fn assess(
    zakat: &Zakat,
    today: Day,
    question: &Question,
) -> Result<Assessment, Rejection> {
    let currency = Currency::parse(&question.currency)?;
    let market = Market {
        currency,
        prices: &question.prices,
    };
    let as_of = question.as_of.unwrap_or(today);
    let period = Period {
        since: question
            .paid_since
            .unwrap_or_else(|| as_of.one_lunar_year_before()),
        until: as_of,
    };

    let (owned, assets) = assets(zakat, &market, as_of)?;
    let (owed, debts) = debts(zakat, &market, as_of)?;
    let zakatable = if owed < owned { owned - owed } else { zero() };
    let nisab = market.nisab(question.nisab)?;
    let rate = zakat.year.rate();
    let of_wealth = if zakatable >= nisab {
        &zakatable * exact(rate)
    } else {
        zero()
    };
    let (of_crops, crops) = seasonal::crops(zakat, &market, period)?;
    let (of_finds, rikaz) = seasonal::rikaz(zakat, &market, period)?;

    let due = round(&(&of_wealth + of_crops + of_finds), currency)?;
    let paid = round(&paid(zakat, &market, period)?, currency)?;
    Ok(Assessment {
        currency,
        as_of,
        paid_since: period.since,
        zakatable: round(&zakatable, currency)?,
        nisab: round(&nisab, currency)?,
        due,
        paid,
        outstanding: outstanding(due, paid),
        breakdown: Breakdown {
            assets,
            debts,
            wealth: Wealth {
                rate,
                due: round(&of_wealth, currency)?,
            },
            crops,
            rikaz,
        },
    })
}

fn assets(
    zakat: &Zakat,
    market: &Market<'_>,
    as_of: Day,
) -> Result<(Fraction, Vec<AssetShare>), Rejection> {
    let (mut total, mut shares) = (zero(), Vec::with_capacity(zakat.assets.len()));
    for (asset_id, asset) in &zakat.assets {
        let value = market.holding(&asset.holding)?;
        let counts = asset.counts(zakat.anniversary, as_of);
        shares.push(AssetShare {
            asset_id: asset_id.clone(),
            kind: asset.holding.kind(),
            value: round(&value, market.currency)?,
            held_since: asset
                .held_since
                .map_or_else(|| "unknown".to_owned(), |day| day.to_string()),
            counts,
        });
        if counts {
            total += value;
        }
    }
    Ok((total, shares))
}

fn debts(
    zakat: &Zakat,
    market: &Market<'_>,
    as_of: Day,
) -> Result<(Fraction, Vec<DebtShare>), Rejection> {
    let (mut total, mut shares) = (zero(), Vec::new());
    for (debt_id, debt) in &zakat.debts {
        if debt.due_on <= as_of {
            let value = market.money(&debt.money)?;
            shares.push(DebtShare {
                debt_id: debt_id.clone(),
                due_on: debt.due_on,
                value: round(&value, market.currency)?,
            });
            total += value;
        }
    }
    Ok((total, shares))
}

/// A payment that was taken back discharged nothing, whatever day is asked about.
fn paid(zakat: &Zakat, market: &Market<'_>, period: Period) -> Result<Fraction, Rejection> {
    let mut sums: BTreeMap<Currency, Decimal> = BTreeMap::new();
    for payment in zakat.payments.values() {
        if payment.reversed_at.is_none() && period.has(Day::of_ms(payment.paid_at)) {
            let sum = sums.entry(payment.money.currency).or_default();
            // Exact: so many amounts of so many digits have 27 at most, of 28.
            *sum = sum.saturating_add(payment.money.amount);
        }
    }
    let mut paid = zero();
    for (currency, amount) in sums {
        paid += market.convert(&exact(amount), currency)?;
    }
    Ok(paid)
}

/// `max(0, due - paid)`; both have the currency's digits, so nothing is rounded.
fn outstanding(due: Decimal, paid: Decimal) -> Decimal {
    if paid < due {
        due.saturating_sub(paid)
    } else {
        Decimal::new(0, due.scale())
    }
}

impl Asset {
    /// Whether it is owned on that day, and its year or the anniversary's is
    /// complete, that day included.
    fn counts(&self, anniversary: Option<Day>, as_of: Day) -> bool {
        let complete = |since: Day| since.one_lunar_year_after() <= as_of;
        self.held_since.is_none_or(|since| {
            since <= as_of && (complete(since) || anniversary.is_some_and(complete))
        })
    }
}

impl Year {
    fn rate(self) -> Decimal {
        match self {
            Self::Lunar => Decimal::new(25, 3),
            Self::Solar => Decimal::new(2577, 5),
        }
    }
}
