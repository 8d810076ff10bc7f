//! What a group comes to in the tables, whatever the order in which its entries led
//! there: so that each table needs one statement, and a row is touched once.

use std::collections::{BTreeMap, HashMap};

use host_model::{ActorId, Version};

use super::outbox::Changes;
use crate::sealed::{Placed, Rest, SealedSnapshot};
use crate::store::Group;
use crate::{
    AnswerKey, CastId, Consumed, DeadLetter, KeptAnswer, Letter, OutboxId, PieceId, Position, Rows,
    Tried,
};

/// A row of `timers`, but for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer<'a> {
    pub(super) due_ms: i64,
    pub(super) set_at: Position,
    pub(super) version: &'a Version,
    pub(super) payload: &'a [u8],
}

/// The rows to delete and to write, by table.
#[derive(Debug, Default)]
pub(super) struct Effects<'a> {
    /// Of casts that were there before the group. Each must be.
    pub(super) casts_used: Vec<CastId>,
    pub(super) casts: BTreeMap<CastId, &'a Letter>,
    /// Of timers that were there before the group: gone if they are still those.
    pub(super) timers_fired: Vec<(&'a ActorId, &'a str, Position)>,
    /// What each timer is in the end, if anything; behind those that have fired.
    pub(super) timers: BTreeMap<(&'a ActorId, &'a str), Option<Timer<'a>>>,
    pub(super) pieces: Vec<(PieceId, &'a [u8])>,
    pub(super) snapshots: Vec<(Position, &'a SealedSnapshot)>,
    /// By actor, the version of its last snapshot of those that others go for.
    pub(super) thinned: HashMap<&'a str, &'a Version>,
    pub(super) snapshots_removed: Vec<Position>,
    pub(super) pieces_removed: Vec<PieceId>,
    pub(super) outbox: Changes<'a>,
    pub(super) answers: Vec<&'a (AnswerKey, KeptAnswer)>,
    /// See [`Rows::answers_before_ms`]: one step of the group, for the latest time.
    pub(super) answers_before_ms: Option<i64>,
    pub(super) removed_through: Option<Position>,
    pub(super) letters_used: Vec<u64>,
    pub(super) letters: Vec<(Position, &'a DeadLetter)>,
    pub(super) quarantine: BTreeMap<&'a ActorId, Option<(Position, &'a str)>>,
    pub(super) values: BTreeMap<&'a str, Option<&'a [u8]>>,
}

impl<'a> Effects<'a> {
    pub(super) fn of(group: &'a Group<'_>) -> Self {
        let mut effects = Self::default();
        for entry in group.entries {
            effects.add(entry, group.time_ms);
        }
        effects
    }

    fn add(&mut self, entry: &'a Placed, time_ms: i64) {
        let (position, sealed) = (entry.position, &entry.sealed);
        if let Some(snapshot) = sealed.snapshot.as_deref() {
            self.snapshots.push((position, snapshot));
            if !sealed.leaves_older {
                self.thinned
                    .insert(snapshot.actor.as_str(), &snapshot.version);
            }
        }
        if let Some(rest) = &sealed.rest {
            self.add_rest(position, rest, time_ms);
        }
    }

    fn add_rest(&mut self, position: Position, rest: &'a Rest, time_ms: i64) {
        let rows = &rest.rows;
        if let Some(consumed) = &rows.consumed {
            self.consume(consumed);
        }
        let piece = rows.piece.iter();
        self.pieces
            .extend(piece.map(|it| (it.id(position), &it.body[..])));
        self.pieces_removed.extend(&rows.pieces_removed);
        self.snapshots_removed.extend(&rows.snapshots_removed);
        for (index, letter) in (0..).zip(&rows.casts) {
            self.casts.insert(CastId { position, index }, letter);
        }
        self.add_webhooks(position, rows, time_ms);
        self.answers.extend(rows.answer.as_deref());
        self.answers_before_ms = self.answers_before_ms.max(rows.answers_before_ms);
        self.removed_through = self.removed_through.max(rows.removed_through);
        if let Some((actor, version)) = &rest.owner {
            for name in &rows.timers_cancelled {
                self.timers.insert((actor, name), None);
            }
            for (name, due_ms, payload) in &rows.timers_set {
                let timer = Timer {
                    due_ms: *due_ms,
                    set_at: position,
                    version,
                    payload,
                };
                self.timers.insert((actor, name), Some(timer));
            }
            for returned in &rows.timers_returned {
                let timer = Timer {
                    due_ms: returned.due_ms,
                    set_at: position,
                    version: &returned.version,
                    payload: &returned.payload,
                };
                self.timers.insert((actor, &returned.name), Some(timer));
            }
        }
        let letter = rows.dead_letter.iter();
        self.letters.extend(letter.map(|it| (position, it)));
        if let Some((actor, reason)) = &rows.quarantine {
            let reason = reason.as_deref().map(|reason| (position, reason));
            self.quarantine.insert(actor, reason);
        }
        for (key, value) in &rows.values {
            self.values.insert(key, value.as_deref());
        }
    }

    /// Those of a record are due from the commit on.
    fn add_webhooks(&mut self, position: Position, rows: &'a Rows, time_ms: i64) {
        for (index, webhook) in (0..).zip(&rows.outbox) {
            let tried = Tried {
                due_ms: time_ms,
                ..Tried::default()
            };
            self.outbox
                .put(OutboxId { position, index }, webhook, tried);
        }
        if let Some(change) = &rows.outbox_change {
            self.outbox.change(change);
        }
    }

    fn consume(&mut self, consumed: &'a Consumed) {
        match consumed {
            // One that the same group wrote is never written.
            Consumed::Cast(id) => match self.casts.remove(id) {
                Some(_) => {}
                None => self.casts_used.push(*id),
            },
            Consumed::Timer {
                actor,
                name,
                set_at,
            } => match self.timers.get_mut(&(actor, name.as_str())) {
                Some(Some(timer)) if timer.set_at == *set_at => {
                    self.timers.insert((actor, name), None);
                }
                // Replaced or cancelled before.
                Some(_) => {}
                None => self.timers_fired.push((actor, name, *set_at)),
            },
            Consumed::DeadLetter(id) => self.letters_used.push(*id),
            Consumed::Outbox(id) => self.outbox.delete(*id),
        }
    }
}
