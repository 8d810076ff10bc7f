//! What comes of a command.

use host_sdk::{Decision, Rejection};
use serde::Serialize;
use serde_json::{Value, json};

use crate::money::Money;
use crate::state::{ASSETS_MAX, DEBTS_MAX, FINDS_MAX, HARVESTS_MAX, PAYMENTS_MAX, room};
use crate::{
    Asset, Command, Day, Debt, Declaration, Event, Find, HarvestStated, Id, Payment, Zakat,
};

type Decided = Result<Decision<Event>, Rejection>;

impl Zakat {
    pub(crate) fn decide_at(&self, now_ms: i64, command: Command) -> Decided {
        match command {
            Command::Declare {
                asset_id,
                held_since,
                declaration,
            } => self.declare(now_ms, asset_id, held_since, &declaration),
            Command::Remove { asset_id } => self.remove(asset_id),
            Command::Pay {
                payment_id,
                amount,
                currency,
            } => self.pay(now_ms, payment_id, Money::parse(&amount, &currency)?),
            Command::PayReversed { payment_id } => self.pay_reversed(now_ms, payment_id),
            Command::SetAnniversary { date } => Ok(told(
                Event::AnniversarySet { date },
                "terms_changed",
                &json!({ "anniversary": date, "year": self.year }),
            )),
            Command::SetYear { year } => Ok(told(
                Event::YearSet { year },
                "terms_changed",
                &json!({ "anniversary": self.anniversary, "year": year }),
            )),
            Command::Owe {
                debt_id,
                amount,
                currency,
                due_on,
            } => {
                let money = Money::parse(&amount, &currency)?;
                self.owe(debt_id, Debt { money, due_on })
            }
            Command::Settle { debt_id } => self.settle(debt_id),
            Command::Crops { crop_id, harvest } => self.crops(crop_id, &harvest),
            Command::Rikaz {
                find_id,
                amount,
                currency,
                found_on,
            } => {
                let money = Money::parse(&amount, &currency)?;
                self.rikaz(find_id, Find { money, found_on })
            }
        }
    }

    fn declare(
        &self,
        now_ms: i64,
        asset_id: Id,
        held_since: Option<Day>,
        declaration: &Declaration,
    ) -> Decided {
        let holding = declaration.holding()?;
        room(&self.assets, asset_id.as_str(), ASSETS_MAX, "assets")?;
        let before = self.assets.get(asset_id.as_str());
        let said = json!({
            "asset_id": asset_id.as_str(),
            "assets": self.assets.len() + usize::from(before.is_none()),
        });
        let asset = Asset {
            holding,
            declared_at: now_ms,
            held_since: held_since.or_else(|| before.and_then(|asset| asset.held_since)),
        };
        let asset_id = asset_id.into();
        let event = Event::AssetDeclared { asset_id, asset };
        Ok(told(event, "assets_changed", &said))
    }

    fn remove(&self, asset_id: Id) -> Decided {
        if !self.assets.contains_key(asset_id.as_str()) {
            return Err(unknown("unknown_asset", "asset", &asset_id));
        }
        let said = json!({ "asset_id": asset_id.as_str(), "assets": self.assets.len() - 1 });
        let asset_id = asset_id.into();
        Ok(told(
            Event::AssetRemoved { asset_id },
            "assets_changed",
            &said,
        ))
    }

    fn pay(&self, now_ms: i64, payment_id: Id, money: Money) -> Decided {
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
            return Ok(duplicate(receipt(payment_id.as_str(), payment)));
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
            reversed_at: None,
        };
        let receipt = receipt(payment_id.as_str(), &payment);
        let event = Event::PaymentReceived {
            payment_id: payment_id.into(),
            payment,
        };
        Ok(told(event, "payment_received", &receipt))
    }

    fn pay_reversed(&self, now_ms: i64, payment_id: Id) -> Decided {
        let payment = self
            .payments
            .get(payment_id.as_str())
            .ok_or_else(|| unknown("unknown_payment", "payment", &payment_id))?;
        if payment.reversed_at.is_some() {
            return Ok(duplicate(receipt(payment_id.as_str(), payment)));
        }
        let reversed = Payment {
            reversed_at: Some(now_ms),
            ..payment.clone()
        };
        let receipt = receipt(payment_id.as_str(), &reversed);
        let event = Event::PaymentReversed {
            payment_id: payment_id.into(),
            reversed_at: now_ms,
        };
        Ok(told(event, "payment_reversed", &receipt))
    }

    fn owe(&self, debt_id: Id, debt: Debt) -> Decided {
        room(&self.debts, debt_id.as_str(), DEBTS_MAX, "debts")?;
        let said = json!({
            "debt_id": debt_id.as_str(),
            "amount": debt.money.amount,
            "currency": debt.money.currency,
            "due_on": debt.due_on,
        });
        let debt_id = debt_id.into();
        Ok(told(
            Event::DebtOwed { debt_id, debt },
            "debts_changed",
            &said,
        ))
    }

    fn settle(&self, debt_id: Id) -> Decided {
        if !self.debts.contains_key(debt_id.as_str()) {
            return Err(unknown("unknown_debt", "debt", &debt_id));
        }
        let said = json!({ "debt_id": debt_id.as_str(), "settled": true });
        let debt_id = debt_id.into();
        Ok(told(Event::DebtSettled { debt_id }, "debts_changed", &said))
    }

    fn crops(&self, crop_id: Id, stated: &HarvestStated) -> Decided {
        let harvest = stated.harvest()?;
        room(&self.harvests, crop_id.as_str(), HARVESTS_MAX, "harvests")?;
        let said = json!({
            "crop_id": crop_id.as_str(),
            "crop": harvest.crop,
            "kg": harvest.kg,
            "harvested_on": harvest.harvested_on,
        });
        let crop_id = crop_id.into();
        Ok(told(
            Event::CropHarvested { crop_id, harvest },
            "crops_changed",
            &said,
        ))
    }

    fn rikaz(&self, find_id: Id, find: Find) -> Decided {
        room(&self.finds, find_id.as_str(), FINDS_MAX, "finds")?;
        let said = json!({
            "find_id": find_id.as_str(),
            "amount": find.money.amount,
            "currency": find.money.currency,
            "found_on": find.found_on,
        });
        let find_id = find_id.into();
        Ok(told(
            Event::RikazFound { find_id, find },
            "rikaz_changed",
            &said,
        ))
    }
}

/// An event whose reply is also what the topic hears.
fn told(event: Event, name: &'static str, said: &impl Serialize) -> Decision<Event> {
    Decision::event(event).broadcast(name, said).reply(said)
}

fn duplicate(mut receipt: Value) -> Decision<Event> {
    receipt["duplicate"] = Value::Bool(true);
    Decision::answer(&receipt)
}

fn unknown(reason: &'static str, what: &str, id: &Id) -> Rejection {
    Rejection::new(reason, format!("no {what} {:?} is on record", id.as_str()))
}

/// As 0.1.0 gives it; a payment that was taken back also says when.
fn receipt(payment_id: &str, payment: &Payment) -> Value {
    let mut receipt = json!({
        "payment_id": payment_id,
        "amount": payment.money.amount,
        "currency": payment.money.currency,
        "paid_at": payment.paid_at,
    });
    if let Some(reversed_at) = payment.reversed_at {
        receipt["reversed_at"] = reversed_at.into();
    }
    receipt
}
