//! What keeps an actor from coming over, or from waking: its plugin or its bytes, for
//! good; or a store that does not answer, for a while.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use host_journal::{BeforeError, ReadError};
use host_loader::Fault;
use host_model::ActorId;
use host_model::error::chain;
use parking_lot::Mutex;

use crate::Actors;

/// Rounds of a sweep in a row that bring nobody over because of the store, and the time
/// between. A read of PostgreSQL waits for its server itself: so a fail-over may take
/// about two minutes. Also rounds in which the store gives all else but an actor's rows.
const ROUNDS_MAX: u32 = 25;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Actors that one round finds unreadable, and no more: it ends with them.
const UNREAD_MAX: usize = 1_000;

/// A value that nobody has.
const PROBE: &str = "host/sweep/probe";

/// Why an actor could not be brought over, or woken.
#[derive(Debug)]
pub(crate) enum Hindrance {
    /// The store was not read. That says nothing about the actor, which is tried again.
    Unread(ReadError),
    /// The plugin's code broke, for this state or this key: it would be the same again.
    Broken(Box<Fault>),
    /// No way leads on, or damage, or what the store does not give while it gives all else:
    /// it would be the same again.
    Lasting(String),
}

impl From<ReadError> for Hindrance {
    fn from(error: ReadError) -> Self {
        match error.may_pass() {
            true => Self::Unread(error),
            false => Self::Lasting(chain(&error)),
        }
    }
}

impl From<BeforeError> for Hindrance {
    fn from(error: BeforeError) -> Self {
        match error {
            BeforeError::Read(error) => error.into(),
            BeforeError::Store(error) => ReadError::Store(error).into(),
            BeforeError::Removed(_) | BeforeError::Far(_) => Self::Lasting(chain(&error)),
        }
    }
}

impl From<Box<Fault>> for Hindrance {
    fn from(fault: Box<Fault>) -> Self {
        Self::Broken(fault)
    }
}

impl From<String> for Hindrance {
    fn from(why: String) -> Self {
        Self::Lasting(why)
    }
}

impl From<&str> for Hindrance {
    fn from(why: &str) -> Self {
        Self::Lasting(why.to_owned())
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(error) => f.write_str(&chain(error)),
            Self::Broken(fault) => fault.fmt(f),
            Self::Lasting(why) => f.write_str(why),
        }
    }
}

/// What the store did not give in a round of a sweep.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The first reason that it gave.
    pub(crate) error: ReadError,
    /// Whose rows were asked for.
    pub(crate) of: Vec<ActorId>,
    /// Whether it gives nothing, whosever is asked for.
    pub(crate) is_whole: bool,
}

/// By what a round of a sweep has found the store away, if it has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Away(Arc<Mutex<Option<Unread>>>);

impl Away {
    pub(crate) fn found(&self, of: Option<ActorId>, error: ReadError) {
        let mut found = self.0.lock();
        let is_whole = of.is_none() || is_away(&error);
        let unread = found.get_or_insert(Unread {
            error,
            of: Vec::new(),
            is_whole,
        });
        unread.of.extend(of);
        unread.is_whole |= is_whole;
    }

    /// Whether the round ends: each read more would wait as long, or come to nothing as well.
    pub(crate) fn ends_round(&self) -> bool {
        let found = self.0.lock();
        let ends = |it: &Unread| it.is_whole || it.of.len() >= UNREAD_MAX;
        found.as_ref().is_some_and(ends)
    }

    /// Takes what it was, for another round.
    pub(crate) fn take(&self) -> Option<Unread> {
        self.0.lock().take()
    }
}

/// Whether the store did not answer at all.
fn is_away(error: &ReadError) -> bool {
    !matches!(error, ReadError::Store(error) if !error.is_away)
}

/// How long a sweep has patience with a store that is away.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    rounds: u32,
    /// In how many rounds the store gave all else but these actors' rows.
    without: BTreeMap<ActorId, u32>,
}

impl Patience {
    /// How long to wait before the next round, behind one that found the store away and
    /// brought `migrated` actors over. None: that was often enough.
    pub(crate) fn next(&mut self, migrated: u64) -> Option<Duration> {
        self.rounds = match migrated {
            0 => self.rounds + 1,
            _ => 1,
        };
        (self.rounds < ROUNDS_MAX).then_some(LOOK_AGAIN_AFTER)
    }

    /// A round has not found it away.
    pub(crate) fn renew(&mut self) {
        self.rounds = 0;
    }

    /// A round has found it there, and this actor's rows were not given. True: that was
    /// often enough.
    fn without(&mut self, id: &ActorId) -> bool {
        self.renew();
        let rounds = self.without.entry(id.clone()).or_default();
        *rounds += 1;
        *rounds >= ROUNDS_MAX
    }
}

impl Actors {
    /// How long a sweep waits behind a round that has come upon `unread`, and brought
    /// `migrated` actors over. Who alone is not read, again and again, is waited for no
    /// longer: what keeps it is lasting.
    ///
    /// # Errors
    ///
    /// The store was away for too long.
    pub(crate) fn wait_for_store(
        &self,
        patience: &mut Patience,
        unread: Unread,
        migrated: u64,
    ) -> Result<Duration, ReadError> {
        let Unread {
            error,
            of,
            is_whole,
        } = unread;
        if !is_whole && self.answers() {
            for id in of {
                if patience.without(&id) {
                    tracing::error!(actor = %id, error = chain(&error),
                        "the store does not give what it has of an actor, and gives all else");
                    self.migrations.cannot_read(id);
                }
            }
            return Ok(LOOK_AGAIN_AFTER);
        }
        let Some(pause) = patience.next(migrated) else {
            return Err(error);
        };
        tracing::warn!(error = chain(&error), "a sweep waits for the store");
        Ok(pause)
    }

    /// Whether the store answers when it is asked for something else.
    fn answers(&self) -> bool {
        tokio::task::block_in_place(|| self.journal.value(PROBE)).is_ok()
    }

    /// What keeps this actor: lasting, if it alone was not read, again and again.
    pub(crate) fn hindered(&self, id: &ActorId, by: Hindrance) -> Hindrance {
        match by {
            Hindrance::Unread(error) if self.migrations.is_unreadable(id) => {
                Hindrance::Lasting(chain(&error))
            }
            by => by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_unless_somebody_comes_over_meanwhile() {
        let mut patience = Patience::default();
        for _ in 0..3 {
            for round in 1..ROUNDS_MAX {
                assert!(patience.next(0).is_some(), "{round}");
            }
            assert!(patience.next(1).is_some());
            patience.renew();
        }
        let rounds = std::iter::from_fn(|| patience.next(0)).count();
        assert_eq!(rounds, ROUNDS_MAX as usize - 1);
    }

    #[test]
    fn who_alone_is_not_read_has_as_many_rounds_as_the_store() {
        let (ali, sara) = ("faulty:ali".parse().unwrap(), "faulty:s".parse().unwrap());
        let mut patience = Patience::default();
        for _ in 1..ROUNDS_MAX {
            assert!(!patience.without(&ali));
            assert!(!patience.without(&sara));
            assert!(patience.next(0).is_some(), "the store was there meanwhile");
        }
        assert!(patience.without(&ali));
        assert!(patience.without(&sara));
    }

    #[test]
    fn only_what_the_store_says_of_itself_passes() {
        let damaged = || ReadError::Damaged {
            what: "a snapshot".to_owned(),
            problem: "its checksum is another".to_owned(),
        };
        assert!(matches!(Hindrance::from(damaged()), Hindrance::Lasting(_)));
        assert!(matches!(
            Hindrance::from(ReadError::Closed),
            Hindrance::Unread(_)
        ));
        let removed = Hindrance::from(BeforeError::Removed(7));
        assert!(matches!(removed, Hindrance::Lasting(_)), "{removed}");
        let before = Hindrance::from(BeforeError::Read(damaged()));
        assert!(matches!(before, Hindrance::Lasting(_)), "{before}");
    }
}
