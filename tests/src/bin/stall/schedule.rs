//! What a client does and when: a pure function of the seed, so that the thread
//! that sends and the one that reads need not tell each other.

use std::ops::Range;
use std::time::Duration;

use crate::settings::Settings;

/// One client's calls.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    client: u32,
    campaigns: Range<u32>,
    seed: u64,
    offset: Duration,
    period: Duration,
}

/// One donation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gift {
    pub(crate) campaign: u32,
    pub(crate) cents: u32,
}

impl Schedule {
    /// The calls of `client`, evenly between those of the others.
    pub(crate) fn new(settings: &Settings, client: u32) -> Self {
        let period = Duration::from_secs(1) / settings.rate;
        Self {
            client,
            campaigns: settings.called(),
            seed: settings.seed,
            offset: period * client / settings.clients,
            period,
        }
    }

    /// When call `number` is due, from the beginning of the load.
    pub(crate) fn due(&self, number: u32) -> Duration {
        self.offset + self.period * number
    }

    /// What call `number` gives.
    pub(crate) fn gift(&self, number: u32) -> Gift {
        let random = mix(self.seed ^ (u64::from(self.client) << 32 | u64::from(number)));
        Gift {
            campaign: self.campaigns.start + (random % self.campaigns.len() as u64) as u32,
            cents: 1 + (mix(random) % 99_999) as u32,
        }
    }

    /// Its `donation_id`, which no other call has.
    pub(crate) fn donation_id(&self, number: u32) -> String {
        format!("client-{}-{number}", self.client)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): neighbours come out unlike.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_evenly_spread_over_time_and_campaigns() {
        let settings = Settings {
            actors: 10,
            donations: 0,
            beside: 0,
            clients: 4,
            rate: 250,
            runs: 1,
            seed: 7,
        };
        let schedule = Schedule::new(&settings, 1);
        assert_eq!(schedule.due(0), Duration::from_millis(1));
        assert_eq!(schedule.due(250), Duration::from_millis(1_001));
        let mut times = [0; 10];
        for number in 0..10_000 {
            let gift = schedule.gift(number);
            assert_eq!(gift, schedule.gift(number));
            assert!((1..=99_999).contains(&gift.cents));
            times[gift.campaign as usize] += 1;
        }
        assert!(times.iter().all(|t| (800..1_200).contains(t)), "{times:?}");
        let beside = Settings {
            beside: 3,
            ..settings
        };
        let schedule = Schedule::new(&beside, 1);
        let given = (0..100).map(|number| schedule.gift(number).campaign);
        assert!(given.into_iter().all(|it| (10..13).contains(&it)));
    }
}
