//! What is counted of a new release while it is watched, and what it is compared with.

use std::sync::Arc;

use host_actors::{Actors, Code, Counts, Release};
use host_model::appup::Probation;
use host_model::flight::{Seen, WatchedPlugin};
use host_model::plan::Plan;

use crate::judge::{Before, Health, Trial};

/// The plugins that change, as they were when this began.
#[derive(Debug)]
pub(crate) struct Baseline {
    moved: Vec<Moved>,
    /// Whether the old release goes on beside the new one: then the two are compared over
    /// the same time.
    is_canary: bool,
}

#[derive(Debug)]
struct Moved {
    plugin: String,
    new: Arc<Code>,
    new_at: Counts,
    old: Option<(Arc<Code>, Counts)>,
    limits: Probation,
    health: Health,
}

impl Baseline {
    /// What is counted of `new` from now on, beside or behind `old`.
    pub(crate) fn take(plan: &Plan, old: &Release, new: &Release, is_canary: bool) -> Self {
        let moved = new.plugins.iter().filter_map(|(plugin, ruling)| {
            let new = Arc::clone(&ruling.code);
            let old = old.plugins.get(plugin).map(|ruling| &ruling.code);
            if old.is_some_and(|old| Arc::ptr_eq(old, &new)) {
                return None;
            }
            let planned = plan
                .plugins
                .iter()
                .find(|planned| planned.plugin == *plugin);
            Some(Moved {
                plugin: plugin.clone(),
                new_at: new.counts(),
                new,
                old: old.map(|old| (Arc::clone(old), old.counts())),
                limits: planned.map(|it| it.probation.clone()).unwrap_or_default(),
                health: Health::default(),
            })
        });
        Self {
            moved: moved.collect(),
            is_canary,
        }
    }

    /// Asks each plugin how it is. One that is ill where the version before is as well is
    /// not to blame for it.
    pub(crate) async fn ask_for_health(&mut self, actors: &Actors) {
        for moved in &mut self.moved {
            let Err(said) = actors.health(&moved.new).await else {
                moved.health = Health::default();
                continue;
            };
            let was_well = match &moved.old {
                Some((old, _)) => actors.health(old).await.is_ok(),
                None => true,
            };
            moved.health = match was_well {
                true => Health {
                    ill_looks: moved.health.ill_looks + 1,
                    said,
                },
                false => Health::default(),
            };
        }
    }

    /// What is to be judged now.
    pub(crate) fn trials(&self) -> Vec<Trial> {
        let trial = |moved: &Moved| Trial {
            plugin: moved.plugin.clone(),
            version: moved.new.version().clone(),
            new: moved.new.counts().since(&moved.new_at),
            old: moved.old.as_ref().map(|(old, at)| Before {
                version: old.version().clone(),
                counts: match self.is_canary {
                    true => old.counts().since(at),
                    false => at.clone(),
                },
            }),
            limits: moved.limits.clone(),
            health: moved.health.clone(),
        };
        self.moved.iter().map(trial).collect()
    }
}

/// What trials have seen, for the flight record.
pub(crate) fn seen(trials: &[Trial]) -> Vec<WatchedPlugin> {
    let seen = |version: &host_model::Version, counts: &Counts| {
        let events = counts.events.values();
        let rejections = events.clone().flat_map(|event| event.rejections.values());
        let timed = counts
            .events
            .iter()
            .filter(|(_, it)| it.took_ns.count() > 0);
        let p99s = timed.map(|(name, event)| {
            let p99_us = event.took_ns.quantile(0.99).div_ceil(1_000);
            (name.clone(), p99_us)
        });
        Seen {
            version: version.clone(),
            calls: counts.calls(),
            faults: events.clone().map(|event| event.faults).sum(),
            rejections: rejections.sum(),
            dead_letters: events.map(|event| event.dead_letters).sum(),
            slowest: p99s.max_by_key(|(_, p99_us)| *p99_us),
        }
    };
    let plugin = |trial: &Trial| WatchedPlugin {
        plugin: trial.plugin.clone(),
        new: seen(&trial.version, &trial.new),
        old: trial
            .old
            .as_ref()
            .map(|old| seen(&old.version, &old.counts)),
    };
    trials.iter().map(plugin).collect()
}
