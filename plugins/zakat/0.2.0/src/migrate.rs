//! The way from 0.1.0 and back.
//!
//! 0.1.0 can say what is owned and what was paid; that part of a record is its
//! own while it runs. What it cannot say travels in the carry: since when assets
//! are held, payments that were taken back, the anniversary, the year, debts,
//! crops and finds.
//!
//! A payment that was taken back is not in the old state at all. 0.1.0 would
//! count it as paid, and a figure that is too low on the day someone asks is
//! worse than an id that is free for a while. Should that id be paid again under
//! 0.1.0, that payment was acknowledged, so it stands, and the reversal of the
//! earlier one is forgotten.
//!
//! What was declared anew under 0.1.0 keeps its `held_since`, as it would here.
//! What was removed there is gone, and its `held_since` with it, unless something
//! was declared by the same id afterwards: the old state cannot tell that from a
//! declaration anew.

use std::collections::BTreeMap;

use host_sdk::{Message, Migrate, Migrated, MigrationError, Random, Rejection};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::state::{DEBTS_MAX, FINDS_MAX, HARVESTS_MAX};
use crate::{Asset, Day, Debt, Find, Harvest, Holding, Money, Payment, Year, Zakat};

/// The state of 0.1.0, field for field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Old {
    /// By asset id.
    pub assets: BTreeMap<String, OldAsset>,
    /// By payment id.
    pub payments: BTreeMap<String, OldPayment>,
}

/// An asset as 0.1.0 knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldAsset {
    /// As in this version.
    pub holding: Holding,
    /// As in this version.
    pub declared_at: i64,
}

/// A payment as 0.1.0 knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldPayment {
    /// As in this version.
    pub money: Money,
    /// As in this version.
    pub paid_at: i64,
}

/// What 0.1.0 cannot hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    /// By asset id, where it is known.
    pub held_since: BTreeMap<String, Day>,
    /// Payments that were taken back, by payment id.
    pub reversed: BTreeMap<String, Payment>,
    /// As in the state.
    pub anniversary: Option<Day>,
    /// As in the state.
    pub year: Year,
    /// As in the state.
    pub debts: BTreeMap<String, Debt>,
    /// As in the state.
    pub harvests: BTreeMap<String, Harvest>,
    /// As in the state.
    pub finds: BTreeMap<String, Find>,
}

impl Migrate for Zakat {
    const FROM: &'static str = "~0.1";
    type Old = Old;
    type Carry = Carry;

    /// One rule whether or not the old state has moved: if it has not, the rule
    /// gives back what `down` was given.
    fn up(old: Old, carry: Option<Carry>, _changed: bool) -> Result<Self, MigrationError> {
        let mut carry = carry.unwrap_or_default();
        let assets = old.assets.into_iter().map(|(id, asset)| {
            let held_since = carry.held_since.remove(&id);
            let asset = Asset {
                holding: asset.holding,
                declared_at: asset.declared_at,
                held_since,
            };
            (id, asset)
        });
        let assets = assets.collect();
        let mut payments = carry.reversed;
        payments.extend(old.payments.into_iter().map(|(id, payment)| {
            let payment = Payment {
                money: payment.money,
                paid_at: payment.paid_at,
                reversed_at: None,
            };
            (id, payment)
        }));
        Ok(Self {
            assets,
            payments,
            anniversary: carry.anniversary,
            year: carry.year,
            debts: carry.debts,
            harvests: carry.harvests,
            finds: carry.finds,
        })
    }

    fn down(&self) -> Result<Migrated<Old, Carry>, MigrationError> {
        let mut old = Old::default();
        let mut carry = Carry {
            anniversary: self.anniversary,
            year: self.year,
            debts: self.debts.clone(),
            harvests: self.harvests.clone(),
            finds: self.finds.clone(),
            ..Carry::default()
        };
        for (id, asset) in &self.assets {
            if let Some(day) = asset.held_since {
                carry.held_since.insert(id.clone(), day);
            }
            let asset = OldAsset {
                holding: asset.holding.clone(),
                declared_at: asset.declared_at,
            };
            old.assets.insert(id.clone(), asset);
        }
        for (id, payment) in &self.payments {
            if payment.reversed_at.is_some() {
                carry.reversed.insert(id.clone(), payment.clone());
                continue;
            }
            let payment = OldPayment {
                money: payment.money,
                paid_at: payment.paid_at,
            };
            old.payments.insert(id.clone(), payment);
        }
        Ok(Migrated { old, carry })
    }

    /// Each message of 0.1.0 is one of this version. What it does not say (`held_since`) is
    /// unknown here, too; what is no day was no matter to 0.1.0, and goes.
    fn upcast(mut message: Message) -> Result<Message, Rejection> {
        if message.event == "declare"
            && let Value::Object(fields) = &mut message.payload
        {
            let is_day = |value: &Value| value.is_null() || Day::deserialize(value).is_ok();
            fields.retain(|name, value| name != "held_since" || is_day(value));
        }
        Ok(message)
    }

    /// What 0.1.0 knows, without what it cannot hold.
    fn downcast(mut message: Message) -> Result<Message, Rejection> {
        match message.event.as_str() {
            "declare" | "assets_changed" => {
                if let Value::Object(fields) = &mut message.payload {
                    fields.remove("held_since");
                }
                Ok(message)
            }
            "remove" | "pay" | "assess" | "summary" | "payment_received" => Ok(message),
            event => Err(Rejection::new(
                "unknown_event",
                format!("zakat 0.1.0 has nothing like {event:?}"),
            )),
        }
    }

    fn samples(&self, random: &mut Random, count: usize) -> Vec<Message> {
        let standing = |(_, payment): &(&String, &Payment)| payment.reversed_at.is_none();
        let mut payments = self.payments.iter().filter(standing).map(|(id, _)| id);
        (0..count)
            .map(|_| match random.below(6) {
                0 => {
                    let year = ["lunar", "solar"][usize::from(random.below(2) == 1)];
                    Message::new("set_year", &json!({ "year": year }))
                }
                1 => Message::new("set_anniversary", &json!({ "date": any_day(random) })),
                2 => Message::new(
                    "owe",
                    &json!({
                        "debt_id": any_id(&self.debts, DEBTS_MAX, random),
                        "amount": any_amount(random), "currency": "USD",
                        "due_on": any_day(random),
                    }),
                ),
                3 => Message::new(
                    "crops",
                    &json!({
                        "crop_id": any_id(&self.harvests, HARVESTS_MAX, random),
                        "crop": "wheat", "kg": any_amount(random), "watering": "mixed",
                        "price_per_kg": "0.30", "currency": "USD",
                        "harvested_on": any_day(random),
                    }),
                ),
                4 => Message::new(
                    "rikaz",
                    &json!({
                        "find_id": any_id(&self.finds, FINDS_MAX, random),
                        "amount": any_amount(random), "currency": "USD",
                        "found_on": any_day(random),
                    }),
                ),
                _ => payments.next().map_or_else(
                    || Message::new("set_year", &json!({ "year": "lunar" })),
                    |id| Message::new("pay_reversed", &json!({ "payment_id": id })),
                ),
            })
            .collect()
    }
}

/// How many new ids samples use in each map.
const SAMPLE_IDS: u64 = 4;

/// An id that is free or new, or one that is there if there is no room for a new one.
fn any_id<T>(map: &BTreeMap<String, T>, max: usize, random: &mut Random) -> String {
    let new = format!("sample-{}", random.below(SAMPLE_IDS));
    let full = map
        .len()
        .saturating_add(usize::try_from(SAMPLE_IDS).unwrap_or(0))
        > max;
    let known = map.keys().next().filter(|_| full);
    known.cloned().unwrap_or(new)
}

fn any_amount(random: &mut Random) -> String {
    format!("{}.{:02}", 1 + random.below(5_000), random.below(100))
}

fn any_day(random: &mut Random) -> String {
    format!(
        "20{:02}-{:02}-{:02}",
        20 + random.below(10),
        1 + random.below(12),
        1 + random.below(28)
    )
}
