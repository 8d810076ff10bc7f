//! Commands that 0.2.0 has nothing like, for a rehearsal to run.

use host_sdk::{Message, Random};
use rust_decimal::Decimal;
use serde_json::json;

use crate::fund::Fund;
use crate::money::Currency;
use crate::state::Campaign;

/// Among them currencies with 0, 2 and 3 minor digits.
const CURRENCIES: [&str; 4] = ["EUR", "JPY", "KWD", "IDR"];

/// The largest sample amount, in minor units.
const MINOR_MAX: u64 = 100_000;

/// How many gifts, from the last, may be the one that a pledge is made for.
const GIFTS_LOOKED_AT: usize = 100;

/// A round of samples; each of its commands is acceptable after those before it.
const ROUND: usize = 8;

/// How many of them are pledges, and how many subscriptions.
const ROUND_EACH: usize = 2;

/// `count` commands, fewer where the campaign is nearly full. First a gift that is
/// there already is counted towards a pledge; then come rounds that give, cancel and
/// end only what they promised.
pub(crate) fn samples(campaign: &Campaign, random: &mut Random, count: usize) -> Vec<Message> {
    let fulfilled = campaign.promised_late(random);
    let rooms = [
        campaign.ledger.room(),
        campaign.pledges.room().saturating_sub(1) / ROUND_EACH,
        campaign.room_to_subscribe() / ROUND_EACH,
    ];
    let rounds_max = rooms.into_iter().min().unwrap_or_default();
    let rounds = count.div_ceil(ROUND).min(rounds_max);
    let rounds = (0..rounds).flat_map(|_| campaign.round(random));
    let fulfilled = fulfilled.into_iter().flatten();
    fulfilled.chain(rounds).take(count).collect()
}

impl Campaign {
    /// A pledge of what one of the last gifts has brought, and that it has.
    fn promised_late(&self, random: &mut Random) -> Option<[Message; 2]> {
        let last = self.ledger.iter().rev().take(GIFTS_LOOKED_AT);
        let candidates: Vec<_> = last
            .map(|(_, donation)| donation)
            .filter(|d| d.refund.is_none() && d.pledge_id.is_none())
            .collect();
        let choice = usize::try_from(random.below(candidates.len() as u64)).ok()?;
        let donation = candidates.get(choice).filter(|_| self.pledges.room() > 0)?;
        let pledge_id = self.unused_id(random);
        let money = (donation.amount, donation.currency);
        let fulfil = json!({ "pledge_id": pledge_id, "donation_id": donation.donation_id });
        Some([
            pledge(&pledge_id, donation.fund, money),
            Message::new("fulfil", &fulfil),
        ])
    }

    fn round(&self, random: &mut Random) -> [Message; ROUND] {
        let foreign = chosen(random, &CURRENCIES);
        let foreign = Currency::parse(foreign).expect("each of CURRENCIES has a minor unit");
        let promised = random.below(MINOR_MAX) + 1;
        let given = random.below(promised) + 1;
        let [kept, broken] = [self.unused_id(random), self.unused_id(random)];
        let [lasting, ended] = [self.unused_id(random), self.unused_id(random)];
        let every = chosen(random, &["day", "week", "month", "year"]);
        let gift = json!({
            "donation_id": self.unused_id(random),
            "donor": "Rehearsal",
            "amount": amount(self.currency, given),
            "currency": self.currency,
            "fund": "zakat",
            "payer": "rehearsal",
            "pledge_id": kept,
        });
        let cancelled = json!({ "pledge_id": broken, "reason": "rehearsed" });
        [
            pledge(
                &kept,
                Fund::Zakat,
                (amount(self.currency, promised), self.currency),
            ),
            Message::new("donate", &gift),
            pledge(&broken, Fund::Waqf, (amount(foreign, promised), foreign)),
            Message::new("cancel_pledge", &cancelled),
            subscribe(&lasting, foreign, given, every),
            subscribe(&ended, self.currency, given, every),
            Message::new("unsubscribe", &json!({ "subscription_id": ended })),
            // Once more, as a client does whose answer was lost.
            subscribe(&lasting, foreign, given, every),
        ]
    }

    fn unused_id(&self, random: &mut Random) -> String {
        loop {
            // 64 random bits: a second try is as good as never needed.
            let id = format!("sample-{:016x}", random.next_u64());
            let is_taken = self.ledger.get(&id).is_some()
                || self.ledger.has_gifts_of(&id)
                || self.pledges.get(&id).is_some()
                || self.subscriptions.contains_key(&id);
            if !is_taken {
                return id;
            }
        }
    }
}

fn pledge(pledge_id: &str, fund: Fund, (amount, currency): (Decimal, Currency)) -> Message {
    Message::new(
        "pledge",
        &json!({
            "pledge_id": pledge_id,
            "donor": "Rehearsal",
            "fund": fund,
            "amount": amount,
            "currency": currency,
            "due_on": "2030-12-31",
        }),
    )
}

fn subscribe(subscription_id: &str, currency: Currency, minor: u64, every: &str) -> Message {
    Message::new(
        "subscribe",
        &json!({
            "subscription_id": subscription_id,
            "donor": "Rehearsal",
            "fund": "waqf",
            "amount": amount(currency, minor),
            "currency": currency,
            "every": every,
            "times": 12,
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
