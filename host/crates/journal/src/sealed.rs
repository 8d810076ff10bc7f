//! An entry made ready for the store on its caller's thread: the writer is one
//! thread for all actors, and encodes nothing.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use host_model::limits::STATE_BYTES_MAX;
use host_model::{ActorId, Version};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{OutboxChange, Position, Record, Rows, Snapshot, Whole, packed};

/// Bytes of one encoded record or snapshot. A plugin's export far above any
/// sensible actor; SQLite's own bound on a blob is a billion bytes.
pub const ROW_BYTES_MAX: usize = STATE_BYTES_MAX + (1 << 20);

/// What an entry weighs in the queue beside its payloads.
const ENTRY_BYTES: usize = 256;

const CRC_BYTES: usize = 4;

/// The rows of an entry, encoded.
#[derive(Debug)]
pub struct Sealed {
    /// The accepted command.
    pub record: Option<SealedRecord>,
    /// The state of its actor.
    pub snapshot: Option<Box<SealedSnapshot>>,
    /// All else, where there is something: most entries are a record alone, and the
    /// line stays short to copy.
    pub rest: Option<Box<Rest>>,
    /// What it counts for against the bound of a group.
    pub bytes: usize,
    /// See [`Rows::beside`].
    beside: usize,
    /// See [`Rows::unhurried`].
    pub unhurried: bool,
    /// See [`Rows::leaves_older`].
    pub leaves_older: bool,
}

/// The rows of an entry that are not encoded.
#[derive(Debug)]
pub struct Rest {
    /// Without `record`, `snapshot` and `whole`.
    pub rows: Rows,
    /// Whose timers are meant, and the version that sets them.
    pub owner: Option<(ActorId, Version)>,
}

/// A sealed entry in its place.
#[derive(Debug)]
pub struct Placed {
    /// Where it stands.
    pub position: Position,
    /// What it is.
    pub sealed: Sealed,
}

/// An encoded [`Record`].
#[derive(Debug)]
pub struct SealedRecord {
    /// [`Record::actor`].
    pub actor: ActorId,
    /// [`Record::seq`].
    pub seq: u64,
    /// [`Record::version`].
    pub version: Version,
    /// The whole record, MessagePack.
    pub bytes: Vec<u8>,
}

/// An encoded [`Snapshot`].
#[derive(Debug)]
pub struct SealedSnapshot {
    /// [`Snapshot::actor`].
    pub actor: ActorId,
    /// [`Snapshot::seq`].
    pub seq: u64,
    /// [`Snapshot::version`].
    pub version: Version,
    /// [`Snapshot::time_ms`].
    pub time_ms: i64,
    /// CRC-32C (little-endian), then the whole snapshot, MessagePack with names, as the
    /// module `packed` has it; or where its pieces are, see the module `pieces`.
    pub body: Vec<u8>,
    /// The first of its pieces, and how many there are, if it is in pieces.
    pub pieces: Option<(Position, u32)>,
}

impl Sealed {
    /// Encodes an entry's rows.
    ///
    /// # Panics
    ///
    /// If the rows break what [`Rows`] promises: timers without an actor, a
    /// snapshot of another actor or an older sequence than its record, one that is
    /// written in pieces, or a row above [`ROW_BYTES_MAX`].
    pub fn new(mut rows: Rows) -> Self {
        let record = rows.record.take();
        let snapshot = rows.snapshot.take();
        let whole = rows.whole.take();
        assert!(
            whole.is_none() || (record.is_none() && snapshot.is_none()),
            "a snapshot of pieces stands alone"
        );
        if let (Some(record), Some(snapshot)) = (&record, &snapshot) {
            assert!(
                record.actor == snapshot.actor && record.seq == snapshot.seq,
                "a snapshot includes the record beside it"
            );
        }
        let (rest_bytes, beside) = (rows_bytes(&rows), rows.beside);
        let (unhurried, leaves_older) = (rows.unhurried, rows.leaves_older);
        let rest = (!rows.is_empty()).then(|| {
            let owner = match (&record, &snapshot, &whole) {
                (Some(record), ..) => Some((record.actor.clone(), record.version.clone())),
                (_, Some(snapshot), _) => Some((snapshot.actor.clone(), snapshot.version.clone())),
                (.., Some(whole)) => Some((whole.actor.clone(), whole.version.clone())),
                (None, None, None) => None,
            };
            assert!(
                owner.is_some() || !rows.has_timers(),
                "timers stand beside a record or snapshot of their actor"
            );
            Box::new(Rest { rows, owner })
        });
        let record = record.map(SealedRecord::new);
        let snapshot = snapshot.map(|snapshot| {
            assert!(
                !snapshot.is_large(),
                "a large snapshot is written in pieces"
            );
            SealedSnapshot::new(&snapshot)
        });
        let snapshot = snapshot.or_else(|| whole.map(Whole::sealed));
        let snapshot = snapshot.map(Box::new);
        let bytes = ENTRY_BYTES
            + record.as_ref().map_or(0, |record| record.bytes.len())
            + snapshot.as_ref().map_or(0, |snapshot| snapshot.body.len())
            + rest_bytes;
        Self {
            record,
            snapshot,
            rest,
            bytes,
            beside,
            unhurried,
            leaves_older,
        }
    }

    /// What it counts for against the bound of what is not durable yet.
    pub fn held_bytes(&self) -> usize {
        self.bytes + self.beside
    }

    /// Whether nothing of it goes to the store.
    pub fn is_barrier(&self) -> bool {
        self.record.is_none() && self.snapshot.is_none() && self.rest.is_none()
    }
}

impl SealedRecord {
    fn new(record: Record) -> Self {
        let bytes = rmp_serde::to_vec(&record).expect("a record is plain data");
        assert!(bytes.len() <= ROW_BYTES_MAX, "a record's bytes are bounded");
        Self {
            actor: record.actor,
            seq: record.seq,
            version: record.version,
            bytes,
        }
    }
}

impl SealedSnapshot {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        let mut plain = Vec::with_capacity(snapshot.bytes() + 1024);
        snapshot
            .serialize(&mut rmp_serde::Serializer::new(&mut plain).with_struct_map())
            .expect("a snapshot is plain data");
        assert!(
            plain.len() <= ROW_BYTES_MAX,
            "a snapshot's bytes are bounded"
        );
        let mut body = vec![0; CRC_BYTES];
        packed::append(&mut body, &plain);
        let crc = crc32c::crc32c(&body[CRC_BYTES..]);
        body[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
        Self {
            actor: snapshot.actor.clone(),
            seq: snapshot.seq,
            version: snapshot.version.clone(),
            time_ms: snapshot.time_ms,
            body,
            pieces: None,
        }
    }
}

/// Reads a record back.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub fn open_record(bytes: &[u8]) -> Result<Record, String> {
    rmp_serde::from_slice(bytes)
        .map(|Leading(record)| record)
        .map_err(|error| format!("it is no record: {error}"))
}

/// The first fields of an array. What a newer host has added behind them is passed over.
struct Leading<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Leading<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Leading<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array of fields")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let leading = T::deserialize(SeqAccessDeserializer::new(&mut fields))?;
                while fields.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Leading(leading))
            }
        }

        deserializer.deserialize_seq(Fields(PhantomData))
    }
}

/// Reads a snapshot's body back.
///
/// # Errors
///
/// What is wrong with the bytes, in words.
pub fn open_snapshot(body: &[u8]) -> Result<Snapshot, String> {
    let (crc, bytes) = body
        .split_first_chunk::<CRC_BYTES>()
        .ok_or("it is too short")?;
    if crc32c::crc32c(bytes) != u32::from_le_bytes(*crc) {
        return Err("its checksum does not hold".into());
    }
    rmp_serde::from_slice(&packed::open(bytes)?)
        .map_err(|error| format!("it is no snapshot: {error}"))
}

fn rows_bytes(rows: &Rows) -> usize {
    let casts: usize = rows
        .casts
        .iter()
        .map(|cast| ENTRY_BYTES + cast.payload.len())
        .sum();
    let timers: usize = rows
        .timers_set
        .iter()
        .map(|(name, _, payload)| ENTRY_BYTES + name.len() + payload.len())
        .sum();
    let returned = rows.timers_returned.iter();
    let returned: usize = returned
        .map(|timer| ENTRY_BYTES + timer.name.len() + timer.payload.len())
        .sum();
    let webhooks: usize = rows
        .outbox
        .iter()
        .map(|webhook| ENTRY_BYTES + webhook.url.len() + webhook.body.len())
        .sum();
    let again = match &rows.outbox_change {
        Some(OutboxChange::Again(_, webhook, _)) => webhook.body.len(),
        _ => 0,
    };
    let answer = rows
        .answer
        .as_ref()
        .map_or(0, |answer| ENTRY_BYTES + answer.1.reply.len());
    let letter = rows
        .dead_letter
        .as_ref()
        .map_or(0, |letter| letter.payload.len() + letter.message.len());
    let values: usize = rows
        .values
        .iter()
        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len))
        .sum();
    let piece = rows.piece.as_ref().map_or(0, |piece| piece.body.len());
    piece + casts + timers + returned + webhooks + again + answer + letter + values
}
