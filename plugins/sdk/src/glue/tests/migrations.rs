//! `up`, `down`, `upcast`, `downcast` and `samples`, there and absent.

use host_abi::{Bytes, FaultKind, Migration, Part, Status};
use serde_json::json;

use super::{
    Actor, Counter, Deserialize, Message, Migrate, Migrated, MigrationError, Plain, Random,
    Rejection, Serialize, Shape, call, table, with_sink,
};
use crate::glue::Migrating;

/// The state of 0.1: the total alone.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::glue) struct Old {
    total: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::glue) struct Carry {
    notes: std::collections::BTreeMap<String, i64>,
}

impl Migrate for Counter {
    const FROM: &'static str = "~0.1";
    type Old = Old;
    type Carry = Carry;

    fn up(old: Old, carry: Option<Carry>, changed: bool) -> Result<Self, MigrationError> {
        if old.total < 0 {
            return Err(MigrationError::new("total is below zero"));
        }
        let mut notes = carry.map(|carry| carry.notes).unwrap_or_default();
        if changed {
            notes.insert("changed".to_owned(), 1);
        }
        Ok(Self {
            total: old.total,
            notes,
        })
    }

    fn down(&self) -> Result<Migrated<Old, Carry>, MigrationError> {
        if self.total < 0 {
            return Err(MigrationError::new("total is below zero"));
        }
        let (old, notes) = (Old { total: self.total }, self.notes.clone());
        Ok(Migrated {
            old,
            carry: Carry { notes },
        })
    }

    fn upcast(mut message: Message) -> Result<Message, Rejection> {
        if message.event == "plus" {
            message.event = "add".to_owned();
        }
        Ok(message)
    }

    fn downcast(message: Message) -> Result<Message, Rejection> {
        let why = format!("0.1 has no {:?}", message.event);
        Err(Rejection::new("unknown_event", why))
    }

    fn samples(&self, random: &mut Random, count: usize) -> Vec<Message> {
        let by = |_| 1 + random.below(9);
        (0..count)
            .map(by)
            .map(|by| Message::new("add", &json!({ "by": by })))
            .collect()
    }
}

fn counted() -> Actor {
    let mut lobby = Actor::new::<Migrating<Counter>>();
    for by in [2, 2, 5] {
        lobby.handle("add", &json!({ "by": by }).to_string());
    }
    lobby
}

fn down(actor: &Actor) -> (Status, super::Answer) {
    let other = Bytes::new(b"0.1.0");
    // SAFETY: the state is this table's; bytes and sink are this call's.
    with_sink(|sink| unsafe { (actor.table.down)(actor.state, other, sink) })
}

fn up(state: &[u8], carry: &[u8], changed: u32) -> Result<Vec<u8>, super::Told> {
    let table = table::<Migrating<Counter>>();
    let migration = Migration {
        other: Bytes::new(b"0.1.0"),
        state: Bytes::new(state),
        carry: Bytes::new(carry),
        changed,
        reserved: 0,
    };
    // SAFETY: the migration, its bytes and the sink are this call's.
    let (state, answer) = with_sink(|sink| unsafe { (table.up)(&raw const migration, sink) });
    if state.is_null() {
        return Err(answer.fault());
    }
    Ok(Actor::of(table, state).export())
}

fn samples<S: Shape>(seed: u64) -> (Status, super::Answer) {
    let actor = Actor::new::<S>();
    // SAFETY: the state is this table's; the sink is this call's.
    with_sink(|sink| unsafe { (actor.table.samples)(actor.state, seed, 3, sink) })
}

#[test]
fn down_then_up_gives_the_same_bytes() {
    let lobby = counted();
    let (status, answer) = down(&lobby);
    assert_eq!(status, Status::OK);
    let (old, carry) = (answer.bytes(Part::STATE), answer.bytes(Part::CARRY));
    assert_eq!(old, rmp_serde::to_vec_named(&Old { total: 9 }).unwrap());
    assert_eq!(up(&old, &carry, 0).unwrap(), lobby.export());
    let changed: Counter = rmp_serde::from_slice(&up(&old, &carry, 1).unwrap()).unwrap();
    assert_eq!(changed.notes["changed"], 1);
    let alone: Counter = rmp_serde::from_slice(&up(&old, b"", 0).unwrap()).unwrap();
    assert!(alone.total == 9 && alone.notes.is_empty());
}

#[test]
fn migrations_that_fail_say_why() {
    let below = rmp_serde::to_vec_named(&Old { total: -1 }).unwrap();
    let told = up(&below, b"", 0).unwrap_err();
    assert_eq!(
        (told.kind, told.message.as_str()),
        (FaultKind::ERROR, "total is below zero")
    );
    for (state, carry, what) in [
        (&b"\xc1"[..], &b""[..], "the old state: "),
        (b"\x81\xa5total\x01", b"\xc1", "the carry: "),
    ] {
        let told = up(state, carry, 0).unwrap_err();
        assert_eq!(told.kind, FaultKind::CODEC);
        assert!(told.message.starts_with(what), "{}", told.message);
    }
    let mut lobby = counted();
    lobby.handle("add", r#"{"by":-10}"#);
    let (status, answer) = down(&lobby);
    assert!(status == Status::FAULT && answer.parts.is_empty());
    assert_eq!(answer.fault().kind, FaultKind::ERROR);
}

#[test]
fn messages_are_converted_or_refused() {
    let table = table::<Migrating<Counter>>();
    let (plus, other) = (call(b"plus", br#"{"by":2}"#), Bytes::new(b"0.1.0"));
    // SAFETY: the call, its bytes and the sink are this call's, here and below.
    let (status, answer) =
        with_sink(|sink| unsafe { (table.upcast)(other, &raw const plus, sink) });
    assert_eq!(status, Status::OK);
    assert_eq!(answer.bytes(Part::NAME), b"add");
    assert_eq!(answer.one(Part::PAYLOAD), json!({ "by": 2 }));

    let empty = call(b"nothing", b"");
    // SAFETY: as above.
    let (_, answer) = with_sink(|sink| unsafe { (table.upcast)(other, &raw const empty, sink) });
    assert_eq!(answer.bytes(Part::NAME), b"nothing");
    assert_eq!(answer.one(Part::PAYLOAD), json!({}));

    // SAFETY: as above.
    let (status, answer) =
        with_sink(|sink| unsafe { (table.downcast)(other, &raw const plus, sink) });
    assert_eq!(status, Status::REJECTED);
    assert_eq!(answer.one(Part::REJECTION)["reason"], "unknown_event");

    let broken = call(b"plus", b"{");
    // SAFETY: as above.
    let (_, answer) = with_sink(|sink| unsafe { (table.upcast)(other, &raw const broken, sink) });
    assert_eq!(answer.one(Part::REJECTION)["reason"], "bad_payload");
}

#[test]
fn samples_follow_their_seed() {
    let drawn = |seed| samples::<Migrating<Counter>>(seed).1.one(Part::DOCUMENT);
    let three = drawn(7);
    assert_eq!(three.as_array().map(Vec::len), Some(3));
    assert_eq!(three[0]["event"], "add");
    assert_eq!(drawn(7), three);
    assert_ne!(drawn(8), three);
}

#[test]
fn the_manifest_says_where_it_migrates_from() {
    let table = table::<Migrating<Counter>>();
    // SAFETY: the sink is this call's.
    let (_, answer) = with_sink(|sink| unsafe { (table.manifest)(sink) });
    assert_eq!(answer.one(Part::DOCUMENT)["migrates_from"], "~0.1");
}

#[test]
fn a_plugin_without_migrations_says_so() {
    let table = table::<Plain<Counter>>();
    let lobby = Actor::new::<Plain<Counter>>();
    assert_eq!(down(&lobby).0, Status::ABSENT);
    assert_eq!(samples::<Plain<Counter>>(7).0, Status::ABSENT);
    let (add, other) = (call(b"add", b"{}"), Bytes::new(b"0.1.0"));
    let migration = Migration {
        other,
        state: Bytes::EMPTY,
        carry: Bytes::EMPTY,
        changed: 0,
        reserved: 0,
    };
    // SAFETY: what each function is given is this call's.
    unsafe {
        let up = with_sink(|sink| (table.upcast)(other, &raw const add, sink));
        let down = with_sink(|sink| (table.downcast)(other, &raw const add, sink));
        assert_eq!((up.0, down.0), (Status::ABSENT, Status::ABSENT));
        let (state, answer) = with_sink(|sink| (table.up)(&raw const migration, sink));
        assert!(state.is_null());
        assert_eq!(answer.fault().kind, FaultKind::ERROR);
    }
}
