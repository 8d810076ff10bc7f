//! Frames into messages: the payload as it arrives, unmasked, checked, joined.

use std::mem;

use serde::{Deserialize, Serialize};

use super::frame::{Header, Opcode, unmask};
use super::message::Message;
use super::queue::Queue;
use super::violation::Violation;

/// Where the reader stands between and within data frames.
///
/// Control frames do not pass here: they may come between the fragments of a
/// message and are short enough to wait for whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Assembly {
    /// No message has begun.
    #[default]
    Idle,
    /// A fragment has ended, its message has not.
    BetweenFragments(Partial),
    /// Payload is expected.
    InFrame(Partial, FrameRest),
}

/// What is still to come of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FrameRest {
    /// Whether the frame is the last of its message.
    fin: bool,
    /// Payload bytes still to come.
    remaining: u64,
    /// The mask, turned so that its first byte belongs to the next of the payload.
    mask: [u8; 4],
}

/// A message of which some payload has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Partial {
    kind: Kind,
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    /// Bytes from the start of a text that are checked to be UTF-8. After every
    /// call at most three follow them: the beginning of one character.
    checked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Text,
    Binary,
}

impl Assembly {
    /// Whether payload of a data frame comes next, rather than a header.
    pub(super) fn in_frame(&self) -> bool {
        matches!(self, Self::InFrame(..))
    }

    /// Begins a data frame.
    ///
    /// # Errors
    ///
    /// When the frame does not follow on what came before, or makes the message
    /// longer than `message_bytes_max`. Nothing has been allocated for it then.
    pub(super) fn begin(
        &mut self,
        header: &Header,
        message_bytes_max: usize,
    ) -> Result<(), Violation> {
        let partial = match (mem::take(self), header.opcode) {
            (Self::Idle, Opcode::Text) => Partial::new(Kind::Text),
            (Self::Idle, Opcode::Binary) => Partial::new(Kind::Binary),
            (Self::Idle, _) => return Err(Violation::ContinuationWithoutStart),
            (Self::BetweenFragments(partial), Opcode::Continuation) => partial,
            (Self::BetweenFragments(_), _) => return Err(Violation::MessageInterrupted),
            (Self::InFrame(..), _) => unreachable!("a header is read only between frames"),
        };
        let announced = header.length.saturating_add(partial.payload.len() as u64);
        if announced > message_bytes_max as u64 {
            return Err(Violation::TooBig {
                announced,
                limit: message_bytes_max,
            });
        }
        let rest = FrameRest {
            fin: header.fin,
            remaining: header.length,
            mask: header.mask,
        };
        *self = Self::InFrame(partial, rest);
        Ok(())
    }

    /// Takes from `input` what belongs to the current frame, and gives the
    /// message where that was its end.
    ///
    /// # Errors
    ///
    /// [`Violation::InvalidUtf8`] on the first byte of a text that no
    /// continuation could make valid, even if its frame has not ended.
    pub(super) fn fill(&mut self, input: &mut Queue) -> Result<Option<Message>, Violation> {
        let (mut partial, mut rest) = match mem::take(self) {
            Self::InFrame(partial, rest) => (partial, rest),
            elsewhere => {
                *self = elsewhere;
                return Ok(None);
            }
        };
        let taken = input
            .len()
            .min(usize::try_from(rest.remaining).unwrap_or(usize::MAX));
        partial.append(&input.as_slice()[..taken], &mut rest);
        input.consume(taken);

        if rest.remaining == 0 && rest.fin {
            // Checks the text once more from its start, which costs less than
            // remembering in the type that it is checked; a message that came
            // in one piece is checked here only.
            return partial.finish().map(Some);
        }
        partial.check()?;
        *self = if rest.remaining == 0 {
            Self::BetweenFragments(partial)
        } else {
            Self::InFrame(partial, rest)
        };
        Ok(None)
    }

    /// Bytes of heap held.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Idle => 0,
            Self::BetweenFragments(partial) | Self::InFrame(partial, _) => {
                partial.payload.capacity()
            }
        }
    }
}

impl Partial {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            payload: Vec::new(),
            checked: 0,
        }
    }

    /// Adds a masked piece of the frame's payload.
    fn append(&mut self, piece: &[u8], rest: &mut FrameRest) {
        let start = self.payload.len();
        // The last frame says how long the message will be; what is announced
        // is still only allocated as it comes, doubling, so that a header alone
        // costs nothing.
        if rest.fin && self.payload.capacity() - start < piece.len() {
            let expected = usize::try_from(rest.remaining).unwrap_or(usize::MAX);
            self.payload
                .reserve_exact(piece.len().max(start).min(expected));
        }
        self.payload.extend_from_slice(piece);
        unmask(&mut self.payload[start..], rest.mask);
        rest.mask.rotate_left(piece.len() % 4);
        rest.remaining -= piece.len() as u64;
    }

    /// Checks the text that has not been checked yet.
    fn check(&mut self) -> Result<(), Violation> {
        if self.kind == Kind::Binary {
            return Ok(());
        }
        let unchecked = self.payload.get(self.checked..).unwrap_or_default();
        self.checked += match str::from_utf8(unchecked) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(Violation::InvalidUtf8),
        };
        Ok(())
    }

    fn finish(self) -> Result<Message, Violation> {
        match self.kind {
            Kind::Text => String::from_utf8(self.payload)
                .map(Message::Text)
                .map_err(|_| Violation::InvalidUtf8),
            Kind::Binary => Ok(Message::Binary(self.payload.into())),
        }
    }
}
