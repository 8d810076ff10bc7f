//! A byte queue: filled at the back, consumed from the front, nothing when empty.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in order of arrival, as one slice.
///
/// Consuming moves a cursor. The consumed front is cut off only when it is
/// longer than what is left, so that each byte is moved at most a constant
/// number of times however the queue is filled and drained.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Queue {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.consumed..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for `additional` bytes, so that several pieces need one allocation.
    pub(super) fn reserve(&mut self, additional: usize) {
        if self.consumed > self.len() {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.bytes.reserve(additional);
    }

    pub(super) fn extend(&mut self, piece: &[u8]) {
        self.reserve(piece.len());
        self.bytes.extend_from_slice(piece);
    }

    /// Drops the first `count` bytes, and the memory with the last one.
    ///
    /// # Panics
    ///
    /// When fewer than `count` bytes are queued.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(
            count <= self.len(),
            "{count} bytes were consumed of {} queued",
            self.len()
        );
        self.consumed += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes and frees their memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of heap held.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Two queues are equal when they hold the same bytes; where the cursor stands
/// is no part of that.
impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Serialize for Queue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_slice())
    }
}

impl<'de> Deserialize<'de> for Queue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(Self { bytes, consumed: 0 })
    }
}
