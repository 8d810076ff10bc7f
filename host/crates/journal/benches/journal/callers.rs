//! The callers, and what they append.

use anyhow::Result;
use host_journal::Record;
use host_model::{ActorId, Version};

const PAYLOAD: &str = r#"{"donation_id":"gift-0001","amount":"25.00","currency":"EUR"}"#;
const EVENT: &str = r#"{"donated":{"donation_id":"gift-0001","amount":"25.00","receipt":17}}"#;

/// One caller, and which record it has appended last.
#[derive(Debug)]
pub(crate) struct Caller {
    actor: ActorId,
    seq: u64,
}

impl Caller {
    /// So many, each before its first record.
    pub(crate) fn all(callers: usize) -> Result<Vec<Self>> {
        let one = |index| {
            let actor = ActorId::new("donations", &format!("campaign-{index}"))?;
            Ok(Self { actor, seq: 0 })
        };
        (0..callers).map(one).collect()
    }

    /// With its next record.
    pub(crate) fn next(self) -> Self {
        let seq = self.seq + 1;
        Self { seq, ..self }
    }
}

/// What a caller appends.
pub(crate) fn record(caller: &Caller) -> Record {
    Record {
        actor: caller.actor.clone(),
        seq: caller.seq,
        version: Version::new(0, 1, 0),
        time_ms: 1_767_225_600_000,
        command: "donate".into(),
        payload: PAYLOAD.into(),
        event: EVENT.into(),
        principal: String::new(),
        idempotency_key: None,
        effects: bytes::Bytes::new(),
    }
}

/// Its bytes as the journal stores them.
pub(crate) fn bytes(record: &Record) -> Vec<u8> {
    rmp_serde::to_vec(record).expect("a record is plain data")
}
