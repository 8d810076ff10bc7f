//! What a payer may ask for.

use host_sdk::Rejection;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use crate::money::{Currency, Money, bad, figure};
use crate::state::CROP_LEN_MAX;
use crate::{Day, Harvest, Holding, Id, Purity, Question, Watering, Year};

/// What may be asked to change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Says that something is owned; replaces what was declared by that id.
    Declare {
        /// The payer's name for it.
        asset_id: Id,
        /// Since when it is owned. Not given (or null), an asset that is declared
        /// anew keeps what was known, for its worth changes more often than its
        /// owner; of a new one it is unknown.
        held_since: Option<Day>,
        /// What it is.
        #[serde(flatten)]
        declaration: Declaration,
    },
    /// Says that something is owned no longer.
    Remove {
        /// As it was declared.
        asset_id: Id,
    },
    /// Records a payment, once for each id.
    Pay {
        /// The idempotency key.
        payment_id: Id,
        /// A decimal.
        amount: String,
        /// ISO 4217.
        currency: String,
    },
    /// Takes a payment back, as after a refund. Its id stays taken.
    PayReversed {
        /// As it was paid.
        payment_id: Id,
    },
    /// Reckons all wealth by one year.
    SetAnniversary {
        /// When that year began; null to go by each asset's own year again.
        #[serde(deserialize_with = "given")]
        #[schemars(required)]
        date: Option<Day>,
    },
    /// Says which year the rate is for.
    SetYear {
        /// `lunar` or `solar`.
        year: Year,
    },
    /// States a debt; replaces what was stated by that id.
    Owe {
        /// The payer's name for it.
        debt_id: Id,
        /// A decimal.
        amount: String,
        /// ISO 4217.
        currency: String,
        /// When it is to be paid.
        due_on: Day,
    },
    /// Says that a debt is owed no longer.
    Settle {
        /// As it was stated.
        debt_id: Id,
    },
    /// States a harvest; replaces what was stated by that id.
    Crops {
        /// The payer's name for it.
        crop_id: Id,
        /// What was harvested.
        #[serde(flatten)]
        harvest: HarvestStated,
    },
    /// States a find; replaces what was stated by that id.
    Rikaz {
        /// The payer's name for it.
        find_id: Id,
        /// A decimal.
        amount: String,
        /// ISO 4217.
        currency: String,
        /// When it was found.
        found_on: Day,
    },
}

/// What may be asked to know.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// What is due, at given prices.
    Assess {
        /// The prices, and the day.
        #[serde(flatten)]
        question: Question,
    },
    /// How much is on record.
    Summary {},
}

/// What `declare` says of an asset, as it came in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Declaration {
    /// `cash`, `gold`, `silver`, `trade_goods` or `receivables`.
    pub kind: String,
    /// A decimal, for the kinds that are money.
    pub amount: Option<String>,
    /// ISO 4217. A metal has none: it is valued in the currency that is asked for.
    pub currency: Option<String>,
    /// A decimal, for gold and silver.
    pub grams: Option<String>,
    /// Parts of 24; 24 if neither this nor the fineness is given.
    pub karat: Option<Figure>,
    /// Parts of 1.
    pub fineness: Option<Figure>,
}

/// What `crops` says, as it came in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct HarvestStated {
    /// Its name, such as `wheat`; case and space around it do not matter.
    pub crop: String,
    /// A decimal.
    pub kg: String,
    /// `rain`, `irrigated` or `mixed`.
    pub watering: Watering,
    /// A decimal.
    pub price_per_kg: String,
    /// ISO 4217.
    pub currency: String,
    /// When it was harvested.
    pub harvested_on: Day,
}

/// A ratio. Unlike money it may also be a JSON number, as in `"karat": 22`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Figure {
    /// `"0.916"`
    Text(String),
    /// `22`
    Number(Number),
}

impl Declaration {
    /// What was declared, if it makes sense.
    ///
    /// # Errors
    ///
    /// `bad_kind`, `bad_currency`, or `bad_amount` for an amount, weight or
    /// purity that is missing or wrong. A figure of zero is refused too: what is
    /// no longer owned is removed.
    pub fn holding(&self) -> Result<Holding, Rejection> {
        match self.kind.as_str() {
            "cash" => Ok(Holding::Cash(self.money()?)),
            "trade_goods" => Ok(Holding::TradeGoods(self.money()?)),
            "receivables" => Ok(Holding::Receivables(self.money()?)),
            "gold" => {
                let (grams, purity) = self.metal()?;
                Ok(Holding::Gold { grams, purity })
            }
            "silver" => {
                let (grams, purity) = self.metal()?;
                Ok(Holding::Silver { grams, purity })
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Rejection::new(
                    "bad_kind",
                    format!("{shown:?} is none of cash, gold, silver, trade_goods and receivables"),
                ))
            }
        }
    }

    fn money(&self) -> Result<Money, Rejection> {
        let currency = self.currency.as_deref().ok_or_else(|| {
            Rejection::new("bad_currency", format!("{} needs a currency", self.kind))
        })?;
        let amount = self.amount.as_deref().ok_or_else(|| {
            Rejection::new("bad_amount", format!("{} needs an amount", self.kind))
        })?;
        Money::parse(amount, currency)
    }

    fn metal(&self) -> Result<(Decimal, Purity), Rejection> {
        if let Some(currency) = &self.currency {
            Currency::parse(currency)?;
        }
        let grams = self.grams.as_deref().ok_or_else(|| {
            Rejection::new("bad_amount", format!("{} is declared in grams", self.kind))
        })?;
        let grams = figure("grams", grams)?.normalize();
        let purity = match (&self.karat, &self.fineness) {
            (None, None) => Purity::pure(),
            (Some(karat), None) => Purity::Karat(karat.at_most("karat", 24)?),
            (None, Some(fineness)) => Purity::Fineness(fineness.at_most("fineness", 1)?),
            (Some(_), Some(_)) => {
                return Err(Rejection::new(
                    "bad_amount",
                    "purity is given as karat or as fineness, not as both",
                ));
            }
        };
        Ok((grams, purity))
    }
}

impl Figure {
    fn at_most(&self, what: &str, most: i64) -> Result<Decimal, Rejection> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        };
        let value = figure(what, &text)?.normalize();
        if value > Decimal::from(most) {
            return Err(bad(what, &text, &format!("pure metal has {most}")));
        }
        Ok(value)
    }
}

impl HarvestStated {
    /// What was stated, if it makes sense.
    ///
    /// # Errors
    ///
    /// `bad_currency`, or `bad_amount` for a weight or price that is no decimal
    /// above zero, `bad_payload` for a crop without a name or with one that is too long.
    pub fn harvest(&self) -> Result<Harvest, Rejection> {
        let crop = self.crop.trim().to_lowercase();
        if !(1..=CROP_LEN_MAX).contains(&crop.len()) {
            return Err(Rejection::new(
                "bad_payload",
                format!("a crop has a name of 1 to {CROP_LEN_MAX} bytes"),
            ));
        }
        Ok(Harvest {
            crop,
            kg: figure("kg", &self.kg)?.normalize(),
            watering: self.watering,
            price_per_kg: figure("price_per_kg", &self.price_per_kg)?.normalize(),
            currency: Currency::parse(&self.currency)?,
            harvested_on: self.harvested_on,
        })
    }
}

/// A field that may be null, but not missing: an empty payload clears nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Day>, D::Error> {
    Option::deserialize(from)
}
