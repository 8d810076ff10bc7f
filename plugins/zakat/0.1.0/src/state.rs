//! What a payer owns and has paid.

use std::collections::BTreeMap;

use host_sdk::Rejection;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::money::{Fraction, Money, exact, ratio};

/// Most assets that one payer declares.
pub(crate) const ASSETS_MAX: usize = 1_000;
/// Most payments that one payer's record holds: four a week for a century. Such a
/// record is some 2 MB, which a version change moves within 100 ms.
pub(crate) const PAYMENTS_MAX: usize = 20_000;
/// Longest id, in bytes: two names of the host and a slash fit.
pub(crate) const ID_LEN_MAX: usize = 256;

/// A payer's wealth and payments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zakat {
    /// By asset id.
    pub(crate) assets: BTreeMap<String, Asset>,
    /// By payment id.
    pub(crate) payments: BTreeMap<String, Payment>,
}

/// Something owned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// What it is, and how much of it.
    pub holding: Holding,
    /// When it was declared as it is now: Unix milliseconds, UTC.
    pub declared_at: i64,
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
}

/// The name of an asset or a payment, chosen by the client: 1 to 256 bytes.
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
