//! What is due: a pure function of the record, a day and its prices.

use std::collections::BTreeMap;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::{Currency, Fraction, Money, exact, figure, ratio, round, zero};
use crate::{Day, Holding, Purity, Zakat};

/// The nisab in grams: 20 mithqal of gold, 200 dirham of silver.
const GOLD_NISAB_GRAMS: i64 = 85;
const SILVER_NISAB_GRAMS: i64 = 595;

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
    /// Payments after this day count; one lunar year before `as_of` by default.
    pub paid_since: Option<Day>,
}

/// The metal whose price sets the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nisab {
    /// 85 grams of gold.
    Gold,
    /// 595 grams of silver.
    Silver,
}

/// Prices as decimals. Only those that the answer needs have to be there.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Prices {
    /// Of one gram of pure gold.
    pub gold_gram: Option<String>,
    /// Of one gram of pure silver.
    pub silver_gram: Option<String>,
    /// Units of the answer's currency for one unit of another, by its code.
    #[serde(default)]
    pub rates: BTreeMap<String, String>,
}

/// The answer. Each figure is rounded once, from exact ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// The currency of all figures.
    pub currency: Currency,
    /// The day that was asked about.
    pub as_of: Day,
    /// Payments after this day, up to `as_of`, are in `paid`.
    pub paid_since: Day,
    /// All wealth that counts.
    pub zakatable: Decimal,
    /// The threshold.
    pub nisab: Decimal,
    /// What is to be given.
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
    /// By asset id, in order.
    pub assets: Vec<Share>,
}

/// One asset's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// As it was declared.
    pub asset_id: String,
    /// As it was declared.
    pub kind: &'static str,
    /// In the answer's currency.
    pub value: Decimal,
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
    let paid_since = question
        .paid_since
        .unwrap_or_else(|| as_of.one_lunar_year_before());

    let mut zakatable = zero();
    let mut assets = Vec::with_capacity(zakat.assets.len());
    for (asset_id, asset) in &zakat.assets {
        let value = market.value(&asset.holding)?;
        assets.push(Share {
            asset_id: asset_id.clone(),
            kind: asset.holding.kind(),
            value: round(&value, currency)?,
        });
        zakatable += value;
    }

    let nisab = market.nisab(question.nisab)?;
    let due = if zakatable >= nisab {
        &zakatable * ratio(25, 1000)
    } else {
        zero()
    };
    let due = round(&due, currency)?;
    let paid = round(&paid(zakat, &market, paid_since, as_of)?, currency)?;

    Ok(Assessment {
        currency,
        as_of,
        paid_since,
        zakatable: round(&zakatable, currency)?,
        nisab: round(&nisab, currency)?,
        due,
        paid,
        outstanding: outstanding(due, paid),
        breakdown: Breakdown { assets },
    })
}

fn paid(zakat: &Zakat, market: &Market<'_>, since: Day, as_of: Day) -> Result<Fraction, Rejection> {
    let mut sums: BTreeMap<Currency, Decimal> = BTreeMap::new();
    for payment in zakat.payments.values() {
        let day = Day::of_ms(payment.paid_at);
        if since < day && day <= as_of {
            let sum = sums.entry(payment.money.currency).or_default();
            // Exact: so many amounts of so many digits have 27 at most, of 28.
            *sum = sum.saturating_add(payment.money.amount);
        }
    }
    let mut paid = zero();
    for (currency, amount) in sums {
        paid += market.convert(&Money { amount, currency })?;
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

/// Prices, and the currency they are in.
struct Market<'a> {
    currency: Currency,
    prices: &'a Prices,
}

impl Market<'_> {
    fn value(&self, holding: &Holding) -> Result<Fraction, Rejection> {
        match holding {
            Holding::Cash(money) | Holding::TradeGoods(money) | Holding::Receivables(money) => {
                self.convert(money)
            }
            Holding::Gold { grams, purity } => self.metal(Nisab::Gold, *grams, *purity),
            Holding::Silver { grams, purity } => self.metal(Nisab::Silver, *grams, *purity),
        }
    }

    fn metal(&self, metal: Nisab, grams: Decimal, purity: Purity) -> Result<Fraction, Rejection> {
        Ok(exact(grams) * purity.part() * self.gram(metal)?)
    }

    fn nisab(&self, nisab: Nisab) -> Result<Fraction, Rejection> {
        let grams = match nisab {
            Nisab::Gold => GOLD_NISAB_GRAMS,
            Nisab::Silver => SILVER_NISAB_GRAMS,
        };
        Ok(ratio(grams, 1) * self.gram(nisab)?)
    }

    /// The price of one pure gram.
    fn gram(&self, metal: Nisab) -> Result<Fraction, Rejection> {
        let (name, price) = match metal {
            Nisab::Gold => ("prices.gold_gram", &self.prices.gold_gram),
            Nisab::Silver => ("prices.silver_gram", &self.prices.silver_gram),
        };
        let price = price.as_deref().ok_or_else(|| {
            Rejection::new(
                "missing_price",
                format!("{name} is needed, in {}", self.currency.code()),
            )
        })?;
        Ok(exact(figure(name, price)?))
    }

    fn convert(&self, money: &Money) -> Result<Fraction, Rejection> {
        if money.currency == self.currency {
            return Ok(exact(money.amount));
        }
        let code = money.currency.code();
        let rate = self.prices.rates.get(code).ok_or_else(|| {
            Rejection::new(
                "missing_rate",
                format!(
                    "prices.rates.{code} is needed, in {} for 1 {code}",
                    self.currency.code()
                ),
            )
        })?;
        Ok(exact(money.amount) * exact(figure("prices.rates", rate)?))
    }
}
