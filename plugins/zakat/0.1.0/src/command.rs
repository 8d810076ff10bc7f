//! What a payer may ask for, and what comes of it.

use host_sdk::{Decision, Rejection};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value, json};

use crate::money::{Currency, Money, bad, figure};
use crate::state::{ASSETS_MAX, PAYMENTS_MAX, room};
use crate::{Asset, Event, Holding, Id, Payment, Purity, Question, Zakat};

/// What may be asked to change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Says that something is owned; replaces what was declared by that id.
    Declare {
        /// The payer's name for it.
        asset_id: Id,
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

impl Zakat {
    pub(crate) fn declare(
        &self,
        now_ms: i64,
        asset_id: Id,
        declaration: &Declaration,
    ) -> Result<Decision<Event>, Rejection> {
        let holding = declaration.holding()?;
        room(&self.assets, asset_id.as_str(), ASSETS_MAX, "assets")?;
        let replaces = self.assets.contains_key(asset_id.as_str());
        let assets = self.assets.len() + usize::from(!replaces);
        let said = json!({ "asset_id": asset_id.as_str(), "assets": assets });
        Ok(Decision::event(Event::AssetDeclared {
            asset_id: asset_id.into(),
            asset: Asset {
                holding,
                declared_at: now_ms,
            },
        })
        .broadcast("assets_changed", &said)
        .reply(&said))
    }

    pub(crate) fn remove(&self, asset_id: Id) -> Result<Decision<Event>, Rejection> {
        if !self.assets.contains_key(asset_id.as_str()) {
            return Err(Rejection::new(
                "unknown_asset",
                format!("no asset {:?} is declared", asset_id.as_str()),
            ));
        }
        let said = json!({ "asset_id": asset_id.as_str(), "assets": self.assets.len() - 1 });
        Ok(Decision::event(Event::AssetRemoved {
            asset_id: asset_id.into(),
        })
        .broadcast("assets_changed", &said)
        .reply(&said))
    }

    pub(crate) fn pay(
        &self,
        now_ms: i64,
        payment_id: Id,
        amount: &str,
        currency: &str,
    ) -> Result<Decision<Event>, Rejection> {
        let money = Money::parse(amount, currency)?;
        if let Some(payment) = self.payments.get(payment_id.as_str()) {
            if payment.money != money {
                return Err(Rejection::new(
                    "conflict",
                    format!(
                        "payment {:?} is on record as {} {}",
                        payment_id.as_str(),
                        payment.money.amount,
                        payment.money.currency.code()
                    ),
                ));
            }
            let mut receipt = receipt(payment_id.as_str(), payment);
            receipt["duplicate"] = Value::Bool(true);
            return Ok(Decision::answer(&receipt));
        }
        room(
            &self.payments,
            payment_id.as_str(),
            PAYMENTS_MAX,
            "payments",
        )?;
        let payment = Payment {
            money,
            paid_at: now_ms,
        };
        let receipt = receipt(payment_id.as_str(), &payment);
        Ok(Decision::event(Event::PaymentReceived {
            payment_id: payment_id.into(),
            payment,
        })
        .broadcast("payment_received", &receipt)
        .reply(&receipt))
    }
}

fn receipt(payment_id: &str, payment: &Payment) -> Value {
    json!({
        "payment_id": payment_id,
        "amount": payment.money.amount,
        "currency": payment.money.currency,
        "paid_at": payment.paid_at,
    })
}
