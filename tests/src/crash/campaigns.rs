//! Which campaigns are given to: some at a time, and others later, so that no
//! ledger grows for as long as the run lasts.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{Home, wait};

/// Campaigns that are given to at the same time.
const AT_ONCE: u64 = 6;

/// The campaigns of now.
#[derive(Debug, Default)]
pub(crate) struct Campaigns {
    generation: AtomicU64,
}

impl Campaigns {
    /// The actor of the campaign that a number falls on.
    pub(crate) fn of(&self, number: u64) -> String {
        actor(self.generation(), number % AT_ONCE)
    }

    /// Which time these are of.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// All of now.
    pub(crate) fn all(&self) -> Vec<String> {
        (0..AT_ONCE).map(|number| self.of(number)).collect()
    }

    /// Opens new ones, and only then lets everyone give to them.
    pub(crate) fn renew(&self, home: &Home) -> Result<()> {
        let generation = self.generation() + 1;
        for number in 0..AT_ONCE {
            let actor = actor(generation, number);
            let open = json!({"title": actor, "currency": "USD", "goal": "1000000.00"});
            wait::until("a campaign is open", || {
                // It may have been opened by an attempt without an answer.
                let opened = home.rpc(&actor, "open", &open).is_ok();
                (opened || home.refused(&actor, "open", &open).ok()? == "already_open")
                    .then_some(())
            })
            .with_context(|| format!("open {actor}"))?;
        }
        self.generation.store(generation, Ordering::Relaxed);
        Ok(())
    }
}

fn actor(generation: u64, number: u64) -> String {
    format!("donations:g{generation}-{number}")
}
