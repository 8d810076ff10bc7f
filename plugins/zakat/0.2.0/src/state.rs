//! What a payer owns, owes, harvests and finds, and has paid.

use std::collections::BTreeMap;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Day;
use crate::money::{Currency, Fraction, Money, exact, ratio};

/// Most assets that one payer declares.
pub(crate) const ASSETS_MAX: usize = 1_000;
/// Most payments that one payer's record holds: four a week for a century. Such a
/// record is some 2 MB, which a version change moves within 100 ms.
pub(crate) const PAYMENTS_MAX: usize = 20_000;
/// Most debts that one payer has at a time.
pub(crate) const DEBTS_MAX: usize = 1_000;
/// Most harvests in one payer's record.
pub(crate) const HARVESTS_MAX: usize = 10_000;
/// Most finds in one payer's record.
pub(crate) const FINDS_MAX: usize = 1_000;
/// Longest name of a crop, in bytes.
pub(crate) const CROP_LEN_MAX: usize = 64;
/// Longest id, in bytes: two names of the host and a slash fit.
pub(crate) const ID_LEN_MAX: usize = 256;

/// A payer's record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zakat {
    /// By asset id.
    pub(crate) assets: BTreeMap<String, Asset>,
    /// By payment id.
    pub(crate) payments: BTreeMap<String, Payment>,
    /// When the year began that all wealth is reckoned by, if there is one such.
    pub(crate) anniversary: Option<Day>,
    /// Which year the rate is for.
    pub(crate) year: Year,
    /// By debt id.
    pub(crate) debts: BTreeMap<String, Debt>,
    /// By crop id.
    pub(crate) harvests: BTreeMap<String, Harvest>,
    /// By find id.
    pub(crate) finds: BTreeMap<String, Find>,
}

/// Something owned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// What it is, and how much of it.
    pub holding: Holding,
    /// When it was declared as it is now: Unix milliseconds, UTC.
    pub declared_at: i64,
    /// Since when it is owned. Unknown for what 0.1.0 took, and for what was
    /// declared without it: then its year counts as complete.
    pub held_since: Option<Day>,
}

/// What an asset is, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Holding {
    /// Money at hand or in accounts.
    Cash(Money),
    /// Gold by weight.
    Gold {
        /// As weighed, alloy included.
        grams: Decimal,
        /// How much of it is gold.
        purity: Purity,
    },
    /// Silver by weight.
    Silver {
        /// As weighed, alloy included.
        grams: Decimal,
        /// How much of it is silver.
        purity: Purity,
    },
    /// Goods meant for sale, at their selling price.
    TradeGoods(Money),
    /// What is owed to the payer and can be collected.
    Receivables(Money),
}

impl Holding {
    /// The kind's name, as in `declare`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cash(_) => "cash",
            Self::Gold { .. } => "gold",
            Self::Silver { .. } => "silver",
            Self::TradeGoods(_) => "trade_goods",
            Self::Receivables(_) => "receivables",
        }
    }
}

/// How much of an alloy is the precious metal, as the payer stated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purity {
    /// Parts of 24.
    Karat(Decimal),
    /// Parts of 1.
    Fineness(Decimal),
}

impl Purity {
    /// All of it: 24 karat.
    #[must_use]
    pub fn pure() -> Self {
        Self::Karat(Decimal::from(24))
    }

    /// The pure part, above 0 and at most 1.
    pub(crate) fn part(self) -> Fraction {
        match self {
            Self::Karat(karat) => exact(karat) * ratio(1, 24),
            Self::Fineness(fineness) => exact(fineness),
        }
    }
}

/// Zakat that was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// How much.
    pub money: Money,
    /// When it was recorded: Unix milliseconds, UTC.
    pub paid_at: i64,
    /// When it was taken back, if it was: Unix milliseconds, UTC. Its id stays taken.
    pub reversed_at: Option<i64>,
}

/// The year that a payer reckons by. It sets the rate; the year that an asset
/// must be held stays lunar either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Year {
    /// 2.5 %.
    #[default]
    Lunar,
    /// 2.577 %: 2.5 % for the eleven days more that a solar year has.
    Solar,
}

/// What the payer owes to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// How much.
    pub money: Money,
    /// The day on which it is to be paid.
    pub due_on: Day,
}

/// What was harvested of a crop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harvest {
    /// `wheat`: 1 to 64 bytes, in lower case. Harvests of one crop in one season
    /// are one in the test of the nisab.
    pub crop: String,
    /// How much.
    pub kg: Decimal,
    /// How it was watered.
    pub watering: Watering,
    /// What a kilogram is worth.
    pub price_per_kg: Decimal,
    /// Of the price.
    pub currency: Currency,
    /// When it was harvested.
    pub harvested_on: Day,
}

/// How a crop was watered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Watering {
    /// By rain, rivers or springs: 10 %.
    Rain,
    /// With effort or at cost: 5 %.
    Irrigated,
    /// Both: 7.5 %.
    Mixed,
}

/// Buried treasure (rikaz).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// What it is worth.
    pub money: Money,
    /// When it was found.
    pub found_on: Day,
}

/// The name of an asset, a payment, a debt and so on, chosen by the client: 1 to 256 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Id(String);

impl Id {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = String;
    fn try_from(id: String) -> Result<Self, String> {
        if (1..=ID_LEN_MAX).contains(&id.len()) {
            Ok(Self(id))
        } else {
            Err(format!(
                "an id has 1 to {ID_LEN_MAX} bytes, this one has {}",
                id.len()
            ))
        }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// Refuses what would make a map longer than its bound.
pub(crate) fn room<T>(
    map: &BTreeMap<String, T>,
    id: &str,
    max: usize,
    what: &str,
) -> Result<(), Rejection> {
    if map.len() < max || map.contains_key(id) {
        return Ok(());
    }
    Err(Rejection::new(
        "too_many",
        format!("one payer has at most {max} {what}"),
    ))
}

impl Zakat {
    /// How many payments were not taken back.
    pub(crate) fn standing_payments(&self) -> usize {
        let standing = |payment: &&Payment| payment.reversed_at.is_none();
        self.payments.values().filter(standing).count()
    }
}
