//! The callers: as many as are asked for, driven by one thread.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host_journal::Record;
use host_model::{ActorId, Version};

/// How long a run is measured, and how long it warms up.
const RUN: Duration = Duration::from_millis(1_500);
const WARM_UP: Duration = Duration::from_millis(300);

const PAYLOAD: &str = r#"{"donation_id":"gift-0001","amount":"25.00","currency":"EUR"}"#;
const EVENT: &str = r#"{"donated":{"donation_id":"gift-0001","amount":"25.00","receipt":17}}"#;

/// One caller, and which record it appends next.
#[derive(Debug)]
pub(crate) struct Caller {
    actor: ActorId,
    seq: u64,
}

/// Callers whose records have become durable together, or why they have not.
pub(crate) type Durable = Result<Vec<Caller>>;

/// A caller before its first record.
pub(crate) fn first(index: usize) -> Result<Caller> {
    Ok(Caller {
        actor: ActorId::new("donations", &format!("campaign-{index}"))?,
        seq: 1,
    })
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

/// Lets `callers` append, each again when its last record is durable; records a
/// second.
pub(crate) fn run(
    callers: usize,
    done: &Receiver<Durable>,
    append: impl Fn(Caller) -> Result<()>,
) -> Result<f64> {
    for index in 0..callers {
        append(first(index)?)?;
    }
    let warm_up = Instant::now();
    let mut measured: Option<(Instant, u64)> = None;
    loop {
        let durable = done.recv().context("the writer runs")??;
        match &mut measured {
            Some((begun, count)) => {
                *count += durable.len() as u64;
                if begun.elapsed() >= RUN {
                    return Ok(*count as f64 / begun.elapsed().as_secs_f64());
                }
            }
            None if warm_up.elapsed() >= WARM_UP => measured = Some((Instant::now(), 0)),
            None => {}
        }
        for caller in durable {
            let seq = caller.seq + 1;
            append(Caller { seq, ..caller })?;
        }
    }
}
