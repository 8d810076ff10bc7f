//! The line in which casts stand: which are on their way, and which stay rows for now. Of
//! those from one sender to one target none overtakes another: what stands behind one that
//! stays a row does so as well, until rows are read again, in their order.

use std::collections::{HashMap, HashSet};

use host_journal::{CastId, Position};
use host_model::ActorId;

/// Casts handed to their targets and not yet durably used up. The rest waits in
/// the journal and is read from there.
const IN_FLIGHT_MAX: usize = 16_384;

/// Senders and targets between which casts stay rows, some hundred bytes each. Beyond them one
/// that stays a row is tried again and again, and may be overtaken.
const HELD_MAX: usize = 65_536;

/// Who sends, and to whom.
type Pair = (ActorId, ActorId);

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    in_flight: HashMap<CastId, Pair>,
    /// Between whom casts stay rows; none: between all.
    held: HashMap<Option<Pair>, Held>,
    /// How often rows have been read from the first one on.
    pass: u64,
    /// While they are read: those used up meanwhile, which a page may still show.
    used_up: Option<HashSet<CastId>>,
    /// Whether one was left to the pass since that asked for a page.
    left: bool,
    /// The last one that came from its sender.
    offered: Option<CastId>,
}

/// Casts that stay rows.
#[derive(Debug)]
struct Held {
    /// This one, and those behind it but for what a pass has taken up.
    first: CastId,
    /// The pass in which it was found so: a later one takes them up.
    since: u64,
    /// Whether none does, for they wait for something to happen.
    waits: bool,
}

/// What becomes of a cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is to be handed to its target now.
    Now,
    /// It is on its way already, used up, or waits its turn.
    Not,
    /// It stays a row, and rows are to be read again.
    LookAgain,
}

impl Default for Line {
    fn default() -> Self {
        // First of all what the last process left.
        let all = Held {
            first: FIRST,
            since: 0,
            waits: false,
        };
        Self {
            in_flight: HashMap::new(),
            held: HashMap::from([(None, all)]),
            pass: 0,
            used_up: None,
            left: false,
            offered: None,
        }
    }
}

/// Before all others.
const FIRST: CastId = CastId {
    position: Position(0),
    index: 0,
};

impl Line {
    /// One that its sender has just sent, in the order of sending. `kept`: it stays a row
    /// anyhow.
    pub(crate) fn begin_new(
        &mut self,
        id: CastId,
        between: (&ActorId, &ActorId),
        kept: bool,
    ) -> Begun {
        self.offered = self.offered.max(Some(id));
        if kept || self.is_known(id) {
            return Begun::Not;
        }
        let pair = pair(between);
        if self.held.is_empty() {
            return self.begin(id, pair);
        }
        for key in [None, Some(pair.clone())] {
            if let Some(held) = self.held.get(&key) {
                self.left |= held.is_taken_up_in(self.pass);
                return Begun::Not;
            }
        }
        self.begin(id, pair)
    }

    /// One that a row was read of, in the order of rows.
    pub(crate) fn begin_row(&mut self, id: CastId, between: (&ActorId, &ActorId)) -> Begun {
        // Its sender's has yet to come: it does by itself.
        let comes = self.offered.is_some_and(|offered| id > offered);
        if comes || self.is_known(id) {
            return Begun::Not;
        }
        let pass = self.pass;
        let keys = [None, Some(pair(between))];
        let held = keys.iter().filter_map(|key| self.held.get(key));
        if held.into_iter().any(|held| held.keeps(id, pass)) {
            return Begun::Not;
        }
        let [_, Some(pair)] = &keys else {
            return Begun::Not;
        };
        let begun = self.begin(id, pair.clone());
        if begun == Begun::Now {
            for key in &keys {
                if let Some(held) = self.held.get_mut(key) {
                    held.first = held.first.max(behind(id));
                }
            }
        }
        begun
    }

    fn is_known(&self, id: CastId) -> bool {
        let used_up = self.used_up.as_ref();
        self.in_flight.contains_key(&id) || used_up.is_some_and(|used_up| used_up.contains(&id))
    }

    fn begin(&mut self, id: CastId, pair: Pair) -> Begun {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.hold(None, id, false);
            return Begun::LookAgain;
        }
        self.in_flight.insert(id, pair);
        Begun::Now
    }

    /// It is used up, durably.
    pub(crate) fn done(&mut self, id: CastId) {
        self.in_flight.remove(&id);
        if let Some(used_up) = &mut self.used_up {
            used_up.insert(id);
        }
    }

    /// It could not be handled now. Gives whether rows are to be read again.
    pub(crate) fn put_off(&mut self, id: CastId) -> bool {
        self.stays(id, false)
    }

    /// Its target does not know it yet: it stays a row until [`Line::let_go`]. Gives whether
    /// rows are to be read again.
    pub(crate) fn wait(&mut self, id: CastId) -> bool {
        self.stays(id, true)
    }

    fn stays(&mut self, id: CastId, waits: bool) -> bool {
        let Some(pair) = self.in_flight.remove(&id) else {
            return true;
        };
        !self.hold(Some(pair), id, waits)
    }

    /// Whether one that has come to its target stays a row, for one before it does: then it
    /// is not on its way any more.
    pub(crate) fn is_behind(&self, id: CastId) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let key = self.in_flight.get(&id).cloned().map(Some);
        let held = key.and_then(|key| self.held.get(&key));
        held.is_some_and(|held| id > held.first)
    }

    /// Has casts stay rows from `id` on. Gives whether they wait.
    fn hold(&mut self, key: Option<Pair>, id: CastId, waits: bool) -> bool {
        let has_room = key.is_none() || self.held.len() < HELD_MAX;
        if !has_room && !self.held.contains_key(&key) {
            return false;
        }
        let held = self.held.entry(key).or_insert(Held {
            first: id,
            since: 0,
            waits,
        });
        held.first = held.first.min(id);
        held.since = self.pass;
        held.waits |= waits;
        held.waits
    }

    /// What waits may be known by now. Gives whether any did.
    pub(crate) fn let_go(&mut self) -> bool {
        let waiting = self.held.iter_mut();
        let mut waiting = waiting.filter(|(key, held)| key.is_some() && held.waits);
        let mut any = false;
        for (_, held) in &mut waiting {
            (held.waits, held.since) = (false, self.pass);
            any = true;
        }
        any
    }

    /// Has all stay rows until [`Line::reopen`].
    pub(crate) fn close(&mut self) {
        self.hold(None, FIRST, true);
    }

    /// Rows that were kept may be delivered now, before all that comes.
    pub(crate) fn reopen(&mut self) {
        self.hold(None, FIRST, false);
        if let Some(held) = self.held.get_mut(&None) {
            held.waits = false;
        }
    }

    /// Begins to read all rows. Gives whether some are left to the next time: between whom a
    /// later one than stays a row has not come to its target yet, where it will.
    pub(crate) fn begin_pass(&mut self) -> bool {
        self.pass += 1;
        self.used_up = Some(HashSet::new());
        let mut any = false;
        if self.held.len() > usize::from(self.held.contains_key(&None)) {
            for (id, pair) in &self.in_flight {
                let held = self.held.get_mut(&Some(pair.clone()));
                if let Some(held) = held.filter(|held| *id > held.first) {
                    held.since = self.pass;
                    any |= !held.waits;
                }
            }
        }
        any
    }

    /// Before a page is asked for.
    pub(crate) fn begin_page(&mut self) {
        self.left = false;
    }

    /// Whether the pass goes no further: all stay rows again.
    pub(crate) fn is_cut_short(&self) -> bool {
        let all = self.held.get(&None);
        all.is_some_and(|held| !held.is_taken_up_in(self.pass))
    }

    /// Behind the last row: gives whether the pass is over. What it has taken up is held no
    /// more, unless something was left to it since it asked.
    pub(crate) fn is_through(&mut self) -> bool {
        if self.left {
            return false;
        }
        let pass = self.pass;
        self.held.retain(|_, held| !held.is_taken_up_in(pass));
        true
    }

    /// The pass is over, or broken off.
    pub(crate) fn end_pass(&mut self) {
        self.used_up = None;
    }
}

impl Held {
    fn is_taken_up_in(&self, pass: u64) -> bool {
        !self.waits && self.since < pass
    }

    /// Whether this one stays a row in this pass.
    fn keeps(&self, id: CastId, pass: u64) -> bool {
        self.waits || (self.since >= pass && id >= self.first)
    }
}

fn pair((from, to): (&ActorId, &ActorId)) -> Pair {
    (from.clone(), to.clone())
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
