//! The line in which casts stand: which are on their way, and which stay rows for now.
//!
//! What one actor casts to another comes in the order in which it was sent, as signals
//! between two processes of Erlang do: where one stays a row, all later ones between the
//! same two do, until a pass over the rows has taken them up. So a row whose sender has
//! handed it on is in flight, or held between its two; one of which neither is true has
//! its sender's turn still before it, and a pass leaves it to that.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use host_journal::{CastId, Position};
use host_model::ActorId;

/// Casts handed to their targets and not yet durably used up. The rest waits in
/// the journal and is read from there.
const IN_FLIGHT_MAX: usize = 16_384;

/// Pairs of actors between which casts are held, some fifty bytes each. Between others
/// one that stays a row may be overtaken.
const HELD_MAX: usize = 65_536;

/// Who sends and to whom, as a digest of both: two pairs that share one, of 2^64, hold
/// each other back.
type Pair = u64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    hasher: foldhash::fast::RandomState,
    in_flight: HashMap<CastId, Pair>,
    held: HashMap<Pair, Held>,
    /// What the last process left has not been read through: everything is held.
    starts: bool,
    /// The last pass in which a row had to stay one between whom nothing could be held.
    unheld: Option<u64>,
    /// The pass that runs, or the last one.
    pass: u64,
    /// While one runs: those used up meanwhile, which a page may still show.
    used_up: Option<HashSet<CastId>>,
    /// Whether one was left to the pass since that asked for its page.
    left: bool,
    /// Whether another pass is due.
    due: bool,
    /// How many have been used up between two that are held: so there may be room for more.
    freed: u64,
}

/// Casts between two that stay rows.
#[derive(Debug)]
struct Held {
    /// This one, and those behind it.
    first: CastId,
    /// The pass in which it was found so: a later one takes them up.
    since: u64,
    /// From here on none does, until [`Line::let_go`].
    waits: Option<CastId>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            in_flight: HashMap::new(),
            held: HashMap::new(),
            starts: true,
            unheld: None,
            pass: 0,
            used_up: None,
            left: false,
            due: true,
            freed: 0,
        }
    }
}

impl Line {
    /// Whether one that its sender hands on is handed to its target now. `kept`: it may
    /// not be.
    pub(crate) fn begin_new(&mut self, id: CastId, between: Between<'_>, kept: bool) -> bool {
        // A pass was faster.
        if self.in_flight.contains_key(&id) {
            return false;
        }
        let pair = self.pair(between);
        match self.held.get(&pair) {
            Some(held) => {
                self.left |= held.is_taken_up_in(self.pass);
                false
            }
            None if self.starts => {
                self.left = true;
                false
            }
            None => self.begin(id, pair, kept),
        }
    }

    /// Whether one that the pass has read is handed to its target now.
    pub(crate) fn begin_row(&mut self, id: CastId, between: Between<'_>, kept: bool) -> bool {
        if self.used_up.as_ref().is_some_and(|used| used.contains(&id)) {
            return false;
        }
        let pair = self.pair(between);
        let pass = self.pass;
        if self.in_flight.contains_key(&id) {
            // In its target's queue it stands before those that would be taken up now.
            if let Some(held) = self.held.get_mut(&pair).filter(|held| held.has(id)) {
                held.since = pass;
                self.due = true;
            }
            return false;
        }
        let is_taken_up = match self.held.get(&pair) {
            Some(held) => held.takes_up(id, pass),
            None => self.takes_up_any(),
        };
        let begun = is_taken_up && self.begin(id, pair, kept);
        if begun && let Some(held) = self.held.get_mut(&pair) {
            held.first = held.first.max(behind(id));
        }
        begun
    }

    fn begin(&mut self, id: CastId, pair: Pair, kept: bool) -> bool {
        let is_full = self.in_flight.len() >= IN_FLIGHT_MAX;
        if kept || is_full {
            self.hold(pair, id);
            // Who is kept from it says when it is not any more.
            self.due |= !kept;
            return false;
        }
        self.in_flight.insert(id, pair);
        true
    }

    /// It is used up, durably. Gives whether a pass is due.
    pub(crate) fn done(&mut self, id: CastId) -> bool {
        let pair = self.in_flight.remove(&id);
        if pair.is_some_and(|pair| self.held.contains_key(&pair)) {
            self.freed += 1;
        }
        if let Some(used_up) = &mut self.used_up {
            used_up.insert(id);
        }
        self.due
    }

    /// It could not be handled now, and stays a row. Gives whether a pass is due.
    pub(crate) fn put_off(&mut self, id: CastId) -> bool {
        self.stays(id, false)
    }

    /// Its target does not know it yet: it stays a row until [`Line::let_go`]. Gives
    /// whether a pass is due.
    pub(crate) fn wait(&mut self, id: CastId) -> bool {
        self.stays(id, true)
    }

    fn stays(&mut self, id: CastId, waits: bool) -> bool {
        let pair = self.in_flight.remove(&id);
        let held = pair.and_then(|pair| self.hold(pair, id));
        let waits = held.is_some_and(|held| {
            if waits {
                held.waits = Some(held.waits.map_or(id, |first| first.min(id)));
            }
            held.waits_with(id)
        });
        self.due |= !waits;
        self.due
    }

    /// Whether one that has come to its target stays a row, for one before it does.
    pub(crate) fn is_behind(&self, id: CastId) -> bool {
        let held = || self.held.get(self.in_flight.get(&id)?);
        !self.held.is_empty() && held().is_some_and(|held| held.has(id))
    }

    /// What waits may be known by now. Gives whether anything did.
    pub(crate) fn let_go(&mut self) -> bool {
        let mut any = false;
        for held in self.held.values_mut().filter(|held| held.waits.is_some()) {
            (held.waits, held.since, any) = (None, self.pass, true);
        }
        self.due |= any;
        any
    }

    /// Another pass is due.
    pub(crate) fn look_again(&mut self) {
        self.due = true;
    }

    fn hold(&mut self, pair: Pair, id: CastId) -> Option<&mut Held> {
        if self.held.len() >= HELD_MAX && !self.held.contains_key(&pair) {
            self.unheld = Some(self.pass);
            return None;
        }
        let held = self.held.entry(pair).or_insert(Held {
            first: id,
            since: self.pass,
            waits: None,
        });
        held.first = held.first.min(id);
        held.since = self.pass;
        Some(held)
    }

    /// Begins a pass, if one is due.
    pub(crate) fn begin_pass(&mut self) -> bool {
        if !std::mem::take(&mut self.due) {
            return false;
        }
        self.pass += 1;
        self.used_up = Some(HashSet::new());
        true
    }

    /// Behind which row the pass begins that has just been begun: no earlier one is taken up.
    pub(crate) fn behind(&self) -> Option<CastId> {
        if self.takes_up_any() {
            return None;
        }
        let due = self.held.values().filter(|held| held.is_due_in(self.pass));
        due.map(|held| held.first).min().map(|first| CastId {
            position: Position(first.position.0.saturating_sub(1)),
            index: 0,
        })
    }

    /// Before a page is asked for.
    pub(crate) fn begin_page(&mut self) {
        self.left = false;
    }

    /// Behind a page: whether the pass is over, for it was the last, nothing that comes may be
    /// taken up, or as many are on their way as may be. If it has come through, what it has
    /// taken up is held no more.
    pub(crate) fn is_over(&mut self, is_last: bool) -> bool {
        let pass = self.pass;
        let goes_on = self.takes_up_any() || self.held.values().any(|held| held.is_due_in(pass));
        if goes_on && !is_last {
            let is_full = self.in_flight.len() >= IN_FLIGHT_MAX && !self.starts;
            self.due |= is_full;
            return is_full;
        }
        if self.left {
            return false;
        }
        self.held.retain(|_, held| held.stays_behind(pass));
        self.unheld = self.unheld.filter(|last| *last >= pass);
        self.starts = false;
        true
    }

    /// The pass is over, or broken off. Gives how many have been used up since the start
    /// that stood before others which stay rows.
    pub(crate) fn end_pass(&mut self) -> u64 {
        self.used_up = None;
        self.freed
    }

    /// Whether a pass takes up rows between whom nothing is held.
    fn takes_up_any(&self) -> bool {
        self.starts || self.unheld.is_some()
    }

    fn pair(&self, between: Between<'_>) -> Pair {
        self.hasher.hash_one(between)
    }
}

/// Who sends a cast, and to whom.
pub(crate) type Between<'a> = (&'a ActorId, &'a ActorId);

impl Held {
    /// Whether this one stays a row, if it is no row that a pass has taken up.
    fn has(&self, id: CastId) -> bool {
        id >= self.first || self.waits_with(id)
    }

    fn waits_with(&self, id: CastId) -> bool {
        self.waits.is_some_and(|waits| id >= waits)
    }

    fn takes_up(&self, id: CastId, pass: u64) -> bool {
        self.since < pass && !self.waits_with(id)
    }

    /// Whether what comes now is held only until the pass has come through.
    fn is_taken_up_in(&self, pass: u64) -> bool {
        self.waits.is_none() && self.since < pass
    }

    /// Whether the pass may find one that it takes up.
    fn is_due_in(&self, pass: u64) -> bool {
        self.since < pass && self.waits.is_none_or(|waits| self.first < waits)
    }

    /// Behind a pass: whether anything is held still.
    fn stays_behind(&mut self, pass: u64) -> bool {
        if self.since < pass
            && let Some(waits) = self.waits
        {
            self.first = waits;
        }
        self.since >= pass || self.waits.is_some()
    }
}

/// The next after this one at the earliest.
fn behind(id: CastId) -> CastId {
    CastId {
        index: id.index + 1,
        ..id
    }
}

#[cfg(test)]
mod tests;
