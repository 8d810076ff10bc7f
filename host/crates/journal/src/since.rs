//! What an actor has done since a sequence: its records, read back from the last one.

use host_model::ActorId;
use host_model::limits::{RESUME_BYTES_MAX, RESUME_COMMANDS_MAX, RESUME_SEARCH_BYTES_MAX};

use crate::before::{BeforeError, Next, Page, Walk};
use crate::error::ReadError;
use crate::heads::Head;
use crate::store::Reader;
use crate::{Position, Record};

/// See [`Journal::since`](crate::Journal::since).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// Sequence of the actor's last record; 0 if it has none.
    pub through: u64,
    /// The records, in order, or why they are not to be had.
    pub records: Result<Vec<Record>, NotHad>,
}

/// Why records are not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHad {
    /// There are more than [`RESUME_COMMANDS_MAX`], or they have more than
    /// [`RESUME_BYTES_MAX`] bytes.
    TooMany,
    /// They are not kept any more, or lie too far back.
    NotKept,
}

/// The records behind `after`; `head` is the actor's, as known before the call.
pub(crate) fn since(
    reader: &dyn Reader,
    actor: &ActorId,
    head: Option<Head>,
    after: u64,
) -> Result<Since, ReadError> {
    let (through, next) = match head {
        Some(head) => (head.seq, Next::At(head.position)),
        None => {
            let kept = reader.kept(actor)?;
            let last = kept.first();
            let behind = last.map_or(Position(0), |key| Position(key.position.0 + 1));
            (last.map_or(0, |key| key.seq), Next::Below(behind))
        }
    };
    let records = match through.saturating_sub(after) {
        0 => Ok(Vec::new()),
        1..=RESUME_COMMANDS_MAX => walk(reader, actor, through, next, after)?,
        _ => Err(NotHad::TooMany),
    };
    Ok(Since { through, records })
}

fn walk(
    reader: &dyn Reader,
    actor: &ActorId,
    through: u64,
    next: Next,
    after: u64,
) -> Result<Result<Vec<Record>, NotHad>, ReadError> {
    let mut walk = Walk {
        reader,
        actor,
        begin: Position(0),
        covered: after,
        wanted: through,
        next,
        searched_bytes: 0,
        searched_bytes_max: RESUME_SEARCH_BYTES_MAX,
        past: None,
        page: Page::default(),
        records: Vec::new(),
    };
    let (mut weighed, mut bytes) = (0, 0);
    while walk.wanted > after {
        match walk.step() {
            Ok(()) => {}
            Err(BeforeError::Removed(_) | BeforeError::Far(_)) => return Ok(Err(NotHad::NotKept)),
            Err(BeforeError::Read(error)) => return Err(error),
            Err(BeforeError::Store(error)) => return Err(error.into()),
        }
        let found = &walk.records[weighed..];
        let weigh = |record: &Record| record.event.len() + record.effects.len();
        bytes += found.iter().map(weigh).sum::<usize>();
        weighed = walk.records.len();
        if bytes > RESUME_BYTES_MAX {
            return Ok(Err(NotHad::TooMany));
        }
    }
    walk.records.reverse();
    Ok(Ok(walk.records))
}
