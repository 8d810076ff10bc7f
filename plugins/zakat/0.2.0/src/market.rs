//! Prices, and what things are worth at them.

use std::collections::BTreeMap;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::money::{Currency, Fraction, Money, exact, figure, ratio};
use crate::{Holding, Purity};

/// The nisab in grams: 20 mithqal of gold, 200 dirham of silver.
const GOLD_NISAB_GRAMS: i64 = 85;
const SILVER_NISAB_GRAMS: i64 = 595;

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

/// Prices, and the currency they are in.
pub(crate) struct Market<'a> {
    pub(crate) currency: Currency,
    pub(crate) prices: &'a Prices,
}

impl Market<'_> {
    pub(crate) fn holding(&self, holding: &Holding) -> Result<Fraction, Rejection> {
        match holding {
            Holding::Cash(money) | Holding::TradeGoods(money) | Holding::Receivables(money) => {
                self.money(money)
            }
            Holding::Gold { grams, purity } => self.metal(Nisab::Gold, *grams, *purity),
            Holding::Silver { grams, purity } => self.metal(Nisab::Silver, *grams, *purity),
        }
    }

    fn metal(&self, metal: Nisab, grams: Decimal, purity: Purity) -> Result<Fraction, Rejection> {
        Ok(exact(grams) * purity.part() * self.gram(metal)?)
    }

    pub(crate) fn nisab(&self, nisab: Nisab) -> Result<Fraction, Rejection> {
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

    pub(crate) fn money(&self, money: &Money) -> Result<Fraction, Rejection> {
        self.convert(&exact(money.amount), money.currency)
    }

    /// `amount` of another currency in this one.
    pub(crate) fn convert(&self, amount: &Fraction, from: Currency) -> Result<Fraction, Rejection> {
        if from == self.currency {
            return Ok(amount.clone());
        }
        let code = from.code();
        let rate = self.prices.rates.get(code).ok_or_else(|| {
            Rejection::new(
                "missing_rate",
                format!(
                    "prices.rates.{code} is needed, in {} for 1 {code}",
                    self.currency.code()
                ),
            )
        })?;
        Ok(amount * exact(figure("prices.rates", rate)?))
    }
}
