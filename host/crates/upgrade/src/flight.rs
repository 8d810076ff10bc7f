//! The flight record of an upgrade as it is kept: written with each transition, so that
//! a host that dies in the middle leaves what was known.

use std::time::Duration;

use host_actors::FailedMigration;
use host_journal::{Action, Journal, Record, unix_ms};
use host_model::Version;
use host_model::control::{ConfigChange, RehearsalReport, UpgradeReport};
use host_model::flight::{
    Asked, Asker, FailedActor, FlightRecord, Transition, WaitsAround, Watched,
};
use host_model::histogram::Histogram;
use host_model::limits::NAMED_ACTORS_MAX;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::book::{BookError, Booked, FLIGHT, FLYING, parse};
use crate::engine::Upgrader;
use crate::state::{State, Upgrade};

/// What an operator may ask for while an upgrade is under way, more than once.
const ASKED_MAX: usize = 100;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flight {
    asked: Vec<Asked>,
    rehearsal: Option<Box<RehearsalReport>>,
    transitions: Vec<Transition>,
    before: Histogram,
    during: Histogram,
    after: Histogram,
    failures: Vec<FailedActor>,
    failures_more: u64,
    watched: Vec<Watched>,
    #[serde(default)]
    config: Vec<ConfigChange>,
    /// The most actors that had come over at any time, as far as was written down.
    #[serde(default)]
    came_over: u64,
}

impl Flight {
    /// How long ago it was begun, in this process or one before.
    pub(crate) fn age(&self) -> Duration {
        let begun_ms = self.transitions.first().map(|first| first.at_ms);
        let age_ms = begun_ms.map_or(0, |begun_ms| unix_ms().saturating_sub(begun_ms));
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    }

    /// What the new release changes in the configuration.
    pub(crate) fn configures(&mut self, config: Vec<ConfigChange>) {
        self.config = config;
    }

    pub(crate) fn config(&self) -> &[ConfigChange] {
        &self.config
    }

    /// Somebody has asked for something.
    pub(crate) fn ask(&mut self, asked: impl IntoIterator<Item = Asked>) {
        let room = ASKED_MAX.saturating_sub(self.asked.len());
        self.asked.extend(asked.into_iter().take(room));
    }

    /// Whether the state that it came to last is `stuck`.
    pub(crate) fn is_stuck(&self) -> bool {
        let last = self.transitions.last();
        last.is_some_and(|last| last.state == "stuck")
    }

    /// What the rehearsal found.
    pub fn rehearsed(&mut self, found: Box<RehearsalReport>) {
        self.rehearsal = Some(found);
    }

    /// The upgrade comes to a state; `waits` have been counted since it came to the one
    /// before.
    pub(crate) fn enter(&mut self, state: &State, waits: &Histogram) {
        let at_ms = unix_ms();
        let last = self.transitions.last_mut();
        match last.as_ref().map(|last| &*last.state) {
            Some("canary" | "switching" | "rolling_back" | "stuck") => self.during.add(waits),
            Some("probation") => self.after.add(waits),
            _ => self.before.add(waits),
        }
        if let Some(last) = last {
            last.lasted_ms = Some(u64::try_from(at_ms - last.at_ms).unwrap_or(0));
        }
        self.transitions.push(Transition {
            state: state.name().to_owned(),
            share: state.share(),
            at_ms,
            lasted_ms: None,
            reason: state.reason().map(|reason| reason.text.clone()),
        });
    }

    /// Actors that could not come over, or go back.
    pub(crate) fn failed(&mut self, failures: Vec<FailedMigration>) {
        for failure in failures {
            let known =
                |failed: &FailedActor| failed.actor == failure.actor && failed.to == failure.to;
            if self.failures.iter().any(known) {
                continue;
            }
            if self.failures.len() >= NAMED_ACTORS_MAX {
                self.failures_more += 1;
                continue;
            }
            self.failures.push(FailedActor {
                actor: failure.actor,
                from: failure.from,
                to: failure.to,
                why: failure.why,
            });
        }
    }

    /// So many actors have come over by now. On a way back fewer are counted again.
    pub(crate) fn came_over(&mut self, actors: u64) {
        self.came_over = self.came_over.max(actors);
    }

    /// The most that had come over, in this process or one before.
    pub(crate) fn most_came_over(&self) -> u64 {
        self.came_over
    }

    pub(crate) fn watched(&mut self, watched: Watched) {
        self.watched.push(watched);
    }

    /// What a rehearsal has found, if there was one.
    pub(crate) fn rehearsal(&self) -> Option<&RehearsalReport> {
        self.rehearsal.as_deref()
    }

    /// It as it is shown, with what there is to report by now.
    #[must_use]
    pub fn shown(&self, upgrade: &Upgrade, report: Option<&UpgradeReport>) -> FlightRecord {
        FlightRecord {
            id: upgrade.id,
            asked: self.asked.clone(),
            plan: upgrade.plan.clone(),
            rehearsal: self.rehearsal.clone(),
            transitions: self.transitions.clone(),
            waits: WaitsAround {
                before: self.before.waits(),
                during: self.during.waits(),
                after: self.after.waits(),
            },
            actors_migrated: report.map_or(0, |report| report.actors_migrated),
            failures: self.failures.clone(),
            failures_more: self.failures_more,
            watched: self.watched.clone(),
            paused_ms: report.map_or(0, |report| report.paused_ms),
            report: report.filter(|_| upgrade.state.is_over()).cloned(),
        }
    }
}

/// What somebody asks for, for the flight record.
pub(crate) fn asked(what: &str, arguments: &impl Serialize, by: &Asker) -> Asked {
    Asked {
        what: what.to_owned(),
        arguments: serde_json::to_value(arguments).expect("a request is JSON"),
        asker: by.clone(),
        at_ms: unix_ms(),
    }
}

/// A flight record as a record of the chain, of whoever asked for the upgrade.
pub(crate) fn in_the_chain(record: &FlightRecord, release: &Version) -> Record {
    let asker = record.asked.first().map(|asked| asked.asker.clone());
    let asker = asker.unwrap_or_default();
    let action = Action {
        name: "flight".to_owned(),
        principal: match asker.by.is_empty() {
            true => "host".to_owned(),
            false => asker.by,
        },
        peer: asker.peer,
        arguments: Value::Null,
        release: release.clone(),
    };
    let said = serde_json::to_value(record).expect("a flight record is JSON");
    action.record(unix_ms(), &said)
}

impl Upgrader {
    /// The flight record of the upgrade with this number, if it is known; of one that is under
    /// way, with what it has to report so far. Blocking.
    ///
    /// # Errors
    ///
    /// [`BookError`]
    pub fn flight(&self, id: u64) -> Result<Option<FlightRecord>, BookError> {
        let running = self.running().filter(|running| running.id() == id);
        let so_far = running.and_then(|running| running.report(&self.actors));
        let journal = self.actors.journal();
        if let Some(flown) = read_flown(journal, id)? {
            return Ok(Some(flown));
        }
        let Some(last) = Booked::read(journal)?.last.filter(|last| last.id == id) else {
            return Ok(None);
        };
        // It may have ended between the two, with its record.
        if last.state.is_over()
            && let Some(flown) = read_flown(journal, id)?
        {
            return Ok(Some(flown));
        }
        let flight = read_flying(journal)?;
        Ok(Some(
            flight.shown(&last, so_far.as_ref().map(|it| &it.report)),
        ))
    }
}

/// The flight record of an upgrade that is over.
fn read_flown<T: Send + 'static>(
    journal: &Journal<T>,
    id: u64,
) -> Result<Option<FlightRecord>, BookError> {
    let values = journal.values(&format!("{FLIGHT}{id:08}"))?;
    let value = values.first().map(|(key, value)| parse(key, value));
    value.transpose()
}

/// What was known of the last upgrade at its last transition.
///
/// # Errors
///
/// [`BookError`]
pub(crate) fn read_flying<T: Send + 'static>(journal: &Journal<T>) -> Result<Flight, BookError> {
    let values = journal.values(FLYING)?;
    let value = values.first().map(|(key, value)| parse(key, value));
    Ok(value.transpose()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_age_is_counted_from_its_first_transition_whichever_process_wrote_it() {
        let mut flight = Flight::default();
        assert_eq!(flight.age(), Duration::ZERO);
        flight.enter(&State::Planned, &Histogram::default());
        flight.transitions[0].at_ms -= 90_000;
        flight.enter(&State::Verified, &Histogram::default());
        let kept = serde_json::to_vec(&flight).unwrap();
        let read: Flight = serde_json::from_slice(&kept).unwrap();
        assert!(read.age() >= Duration::from_secs(90), "{:?}", read.age());
        // A clock that was set back takes nothing from zero.
        flight.transitions[0].at_ms += 900_000;
        assert_eq!(flight.age(), Duration::ZERO);
    }
}
