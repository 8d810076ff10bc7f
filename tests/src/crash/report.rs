//! What a run was, as a table.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::book::Counts;
use super::keys::Keys;
use super::kill::Kills;

/// Figures of a run in which all held.
#[derive(Debug, Default)]
pub struct Report {
    /// The seed that gives the same choices again.
    pub seed: u64,
    /// Restarts that were looked behind.
    pub rounds: u64,
    /// How long it took.
    pub took: Duration,
    pub(crate) kills: Kills,
    pub(crate) upgrades: Upgrades,
    pub(crate) gifts: u64,
    pub(crate) open_there: u64,
    pub(crate) open_not: u64,
    pub(crate) chain: (u64, u64),
    pub(crate) counts: Counts,
    pub(crate) keys: Keys,
}

/// Upgrades and ways back.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Upgrades {
    pub(crate) begun: u64,
    pub(crate) committed: u64,
    pub(crate) cut: u64,
    pub(crate) refused: u64,
}

impl Report {
    /// First answers that were given again under a key of the header.
    #[must_use]
    pub fn given_again(&self) -> u64 {
        self.keys.again.load(Ordering::Relaxed)
    }

    /// Processes that were ended with `kill -9`.
    #[must_use]
    pub fn kills(&self) -> u64 {
        self.kills.host + self.kills.keeper + self.kills.server
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let rows = [
            ("kill -9 of the host", self.kills.host),
            ("kill -9 of the keeper", self.kills.keeper),
            ("kill -9 of PostgreSQL", self.kills.server),
            ("restarts looked behind", self.rounds),
            ("upgrades and ways back begun", self.upgrades.begun),
            ("whose command saw the commit", self.upgrades.committed),
            ("cut by a kill before", self.upgrades.cut),
            ("not begun without PostgreSQL", self.upgrades.refused),
            ("gifts looked for", self.gifts),
            (
                "acknowledgements",
                counts.acknowledged.load(Ordering::Relaxed),
            ),
            ("ends left open", counts.opened.load(Ordering::Relaxed)),
            (
                "of them answered outcome_unknown",
                counts.unknown.load(Ordering::Relaxed),
            ),
            (
                "a retry told: it was there",
                counts.told_there.load(Ordering::Relaxed),
            ),
            (
                "a retry told: it was not",
                counts.told_new.load(Ordering::Relaxed),
            ),
            ("never retried, and there", self.open_there),
            ("never retried, and not there", self.open_not),
            (
                "answers that nothing happened",
                counts.refused.load(Ordering::Relaxed),
            ),
            (
                "acknowledged ones sent again",
                counts.repeated.load(Ordering::Relaxed),
            ),
            ("summaries read", counts.queried.load(Ordering::Relaxed)),
            (
                "commands under a key of the header",
                self.keys.taken.load(Ordering::Relaxed),
            ),
            ("their first answers given again", self.given_again()),
            (
                "of them to who had heard none",
                self.keys.told_there.load(Ordering::Relaxed),
            ),
            ("groups in the chain", self.chain.0),
            ("records in the chain", self.chain.1),
        ];
        for (what, count) in rows {
            writeln!(f, "{what:<36}{count:>10}")?;
        }
        let (seed, seconds) = (self.seed, self.took.as_secs());
        write!(f, "SEED={seed}, {seconds} s: nothing lost, nothing doubled")
    }
}
