//! An actor that is in memory: its state, and what belongs to it.

use std::sync::Arc;

use host_journal::{AnswerKey, KeptAnswer, Position, Record};
use host_loader::State;
use host_model::carry::Carry;
use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;

use crate::keys::UnderWay;
use crate::large::Writing;
use crate::release::Code;

/// About what a record takes beside its payload and its event.
const RECORD_BYTES: usize = 128;

/// An actor's state and what belongs to it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) state: State<Code>,
    /// Sequence of the last accepted command; 0 before the first.
    pub(crate) seq: u64,
    /// Time of the last accepted command, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Bytes of records since the last snapshot.
    pub(crate) tail_bytes: u32,
    /// Bytes of the last snapshot, or of the last that there was no room for.
    pub(crate) snapshot_bytes: u32,
    /// What most actors have none of: a million of them pay for a pointer.
    beside: Option<Box<Beside>>,
}

#[derive(Debug, Default)]
struct Beside {
    carries: Vec<Carry>,
    /// Answers under idempotency keys that the journal may not know yet.
    keys: UnderWay,
    /// Its snapshot, while that is being written in pieces.
    writing: Option<Box<Writing>>,
}

impl Live {
    pub(crate) fn new(state: State<Code>) -> Self {
        Self {
            state,
            seq: 0,
            time_ms: 0,
            tail_bytes: 0,
            snapshot_bytes: 0,
            beside: None,
        }
    }

    /// The code of the version that it has.
    pub(crate) fn code(&self) -> &Arc<Code> {
        self.state.owner()
    }

    /// False for an actor that has accepted nothing yet, and leaves no trace.
    pub(crate) fn exists(&self) -> bool {
        self.seq > 0
    }

    /// Counts a record that stands behind the last snapshot.
    pub(crate) fn lengthen_tail(&mut self, record: &Record) {
        let bytes = record.payload.len() + record.event.len() + record.effects.len() + RECORD_BYTES;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.tail_bytes = self.tail_bytes.saturating_add(bytes);
    }

    pub(crate) fn carries(&self) -> &[Carry] {
        self.beside.as_ref().map_or(&[], |beside| &beside.carries)
    }

    pub(crate) fn set_carries(&mut self, carries: Vec<Carry>) {
        if self.beside.is_some() || !carries.is_empty() {
            self.beside.get_or_insert_default().carries = carries;
            self.tidy();
        }
    }

    /// The answers that the journal may not know, if there are any; what is durable is
    /// forgotten.
    pub(crate) fn keys(&mut self, durable: Position) -> Option<&UnderWay> {
        self.beside.as_mut()?.keys.forget(durable);
        self.tidy();
        let keys = &self.beside.as_ref()?.keys;
        (!keys.is_empty()).then_some(keys)
    }

    /// Remembers the answer of what was appended at `position`.
    pub(crate) fn remember(&mut self, position: Position, key: AnswerKey, answer: KeptAnswer) {
        let beside = self.beside.get_or_insert_default();
        beside.keys.push(position, key, answer);
    }

    /// Whether its next snapshot will be written in pieces, as far as is known.
    pub(crate) fn is_large(&self) -> bool {
        self.snapshot_bytes as usize > SNAPSHOT_PIECE_BYTES_MAX
    }

    pub(crate) fn is_writing(&self) -> bool {
        let beside = self.beside.as_ref();
        beside.is_some_and(|beside| beside.writing.is_some())
    }

    pub(crate) fn writing(&mut self) -> Option<&mut Writing> {
        self.beside.as_mut()?.writing.as_deref_mut()
    }

    pub(crate) fn begin_writing(&mut self, writing: Writing) {
        self.beside.get_or_insert_default().writing = Some(Box::new(writing));
    }

    pub(crate) fn end_writing(&mut self) -> Option<Box<Writing>> {
        let writing = self.beside.as_mut()?.writing.take();
        self.tidy();
        writing
    }

    fn tidy(&mut self) {
        let empty = |beside: &mut Box<Beside>| {
            beside.carries.is_empty() && beside.keys.is_empty() && beside.writing.is_none()
        };
        drop(self.beside.take_if(empty));
    }
}
