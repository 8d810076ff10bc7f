//! How often the host itself said no.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::message::Message;
use crate::{Actors, CallError};

/// Counts of messages that were refused by the host, not by a plugin: each limit
/// that was reached has its reason here. Counted on cold paths only.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<String, u64>>);

impl Refusals {
    pub(crate) fn count(&self, error: &CallError) {
        *self.0.lock().entry(error.reason().to_owned()).or_default() += 1;
    }

    /// Reason, and how often.
    pub fn all(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock();
        counts
            .iter()
            .map(|(reason, n)| (reason.clone(), *n))
            .collect()
    }
}

impl Actors {
    /// How often a limit was reached, by its reason.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Answers a message that will not be handled. A cast or a timer stays a row.
    pub(crate) fn refuse(&self, message: Message, error: CallError) {
        self.refusals.count(&error);
        self.trace_refused(&message, &error);
        match message {
            Message::Request(_, responder) => drop(responder.send(Err(error))),
            Message::Inspect(responder) => drop(responder.send(Err(error))),
            Message::Cast(id, _) => self.casts.put_off(id),
            Message::Timer(timer) => self.timers.put_off(&timer.actor, &timer.name),
            Message::DeadLetter(_, _, responder) => drop(responder.send(Err(error))),
            Message::Migrate(_) | Message::Sleep(_) | Message::Snapshot(_) | Message::Writing => {}
        }
    }
}
