//! Commands that 0.1.0 has nothing like, for a rehearsal to run.

use host_sdk::{Message, Random};
use rust_decimal::Decimal;
use serde_json::json;

use crate::fund::Fund;
use crate::money::Currency;
use crate::state::Campaign;

/// Among them currencies with 0, 2 and 3 minor digits.
const CURRENCIES: [&str; 4] = ["EUR", "JPY", "KWD", "IDR"];

/// The largest sample gift, in minor units.
const GIFT_MINOR_MAX: u64 = 100_000;

/// How many gifts, from the last, may be the one that is given back.
const REFUNDABLE_LOOKED_AT: usize = 100;

/// A round of samples; each of its commands is acceptable after those before it.
const ROUND: usize = 5;

/// How many of them are gifts; one more is an allocation.
const ROUND_GIFTS: usize = 3;

/// `count` commands, fewer where the campaign is nearly full. First a gift that
/// is there already is given back, if its fund can bear it; then come rounds
/// that spend only what they gave.
pub(crate) fn samples(campaign: &Campaign, random: &mut Random, count: usize) -> Vec<Message> {
    let refund = campaign.refundable(random).map(|donation_id| {
        Message::new(
            "refund",
            &json!({ "donation_id": donation_id, "reason": "rehearsed" }),
        )
    });
    let rounds_max = (campaign.ledger.room() / ROUND_GIFTS).min(campaign.room_to_allocate());
    let rounds = count.div_ceil(ROUND).min(rounds_max);
    let rounds = (0..rounds).flat_map(|_| campaign.round(random));
    refund.into_iter().chain(rounds).take(count).collect()
}

impl Campaign {
    /// One of the last gifts that can be given back.
    fn refundable(&self, random: &mut Random) -> Option<&str> {
        let candidates: Vec<_> = self
            .ledger
            .iter()
            .rev()
            .take(REFUNDABLE_LOOKED_AT)
            .map(|(_, donation)| donation)
            .filter(|d| d.refund.is_none())
            .filter(|d| self.books.balance(d.fund, d.currency) >= d.amount)
            .collect();
        let choice = usize::try_from(random.below(candidates.len() as u64)).ok()?;
        Some(candidates.get(choice)?.donation_id.as_str())
    }

    fn round(&self, random: &mut Random) -> [Message; ROUND] {
        let foreign = chosen(random, &CURRENCIES);
        let foreign = Currency::parse(foreign).expect("each of CURRENCIES has a minor unit");
        let zakat = random.below(GIFT_MINOR_MAX) + 1;
        let spent = random.below(zakat) + 1;
        let category = chosen(random, &Fund::ZAKAT_CATEGORIES);
        let returned = self.unused_id(random);
        [
            donate(self.unused_id(random), "zakat", self.currency, zakat),
            donate(
                self.unused_id(random),
                "waqf",
                foreign,
                random.below(GIFT_MINOR_MAX) + 1,
            ),
            Message::new(
                "allocate",
                &json!({
                    "fund": "zakat",
                    "category": category,
                    "amount": amount(self.currency, spent),
                    "currency": self.currency,
                }),
            ),
            donate(
                returned.clone(),
                "sadaqah",
                foreign,
                random.below(GIFT_MINOR_MAX) + 1,
            ),
            Message::new(
                "refund",
                &json!({ "donation_id": returned, "reason": "rehearsed" }),
            ),
        ]
    }

    fn unused_id(&self, random: &mut Random) -> String {
        loop {
            // 64 random bits: a second try is as good as never needed.
            let donation_id = format!("sample-{:016x}", random.next_u64());
            if self.ledger.get(&donation_id).is_none() {
                return donation_id;
            }
        }
    }
}

fn donate(donation_id: String, fund: &str, currency: Currency, minor: u64) -> Message {
    Message::new(
        "donate",
        &json!({
            "donation_id": donation_id,
            "donor": "Rehearsal",
            "amount": amount(currency, minor),
            "currency": currency,
            "fund": fund,
            "payer": (fund == "zakat").then_some("rehearsal"),
        }),
    )
}

fn amount(currency: Currency, minor: u64) -> Decimal {
    Decimal::from_i128_with_scale(i128::from(minor), currency.minor_digits())
}

fn chosen<T: Copy>(random: &mut Random, from: &[T]) -> T {
    let choice = random.below(from.len() as u64);
    from[usize::try_from(choice).expect("below a length")]
}
