//! The table's functions, called as a host calls them.

mod configuration;
mod faults;
mod init;
mod migrations;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::panic_any;

use host_abi::{Bytes, Call, Fault, FaultKind, Part, PluginVt, Sink, State, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Plain, Shape, table};
use crate::{
    Cx, Decision, Effect, Message, Migrate, Migrated, MigrationError, Plugin, Random, Rejection,
    Reply, Violation,
};

/// A counter with a command for each way a handler can end.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counter {
    total: i64,
    notes: BTreeMap<String, i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// Adds.
    Add {
        by: i64,
    },
    Nothing {},
    PanicInDecide {},
    PanicInApply {},
    Bomb {},
    EffectWithoutEvent {},
    NoJson {},
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Query {
    Summary {},
    Refused {},
    Panic {},
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Added { by: i64 },
    Broken {},
}

/// A panic's payload that panics when it is dropped, and throws another such.
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Self);
    }
}

impl Plugin for Counter {
    const NAME: &'static str = "counter";
    const VERSION: &'static str = "0.2.0";
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[("add", "id")];
    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(key: &str) -> Self {
        assert_ne!(key, "panics", "no counter for this key");
        Self::default()
    }

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        match command {
            Command::Add { by: 0 } => Err(Rejection::new("nothing_to_add", "by is 0")),
            Command::Add { by } => Ok(Decision::event(Event::Added { by })
                .broadcast("added", &json!({ "by": by }))
                .cancel_timer("idle")
                .reply(&json!({ "total": self.total + by, "seq": cx.seq() }))),
            Command::Nothing {} => Ok(Decision::answer(&json!({ "total": self.total }))),
            Command::PanicInDecide {} => panic!("decide: {}", self.total),
            Command::PanicInApply {} => Ok(Decision::event(Event::Broken {})),
            Command::Bomb {} => panic_any(Bomb),
            Command::EffectWithoutEvent {} => {
                let name = "idle".to_owned();
                Ok(Decision::answer(&json!({})).effect(Effect::CancelTimer { name }))
            }
            Command::NoJson {} => {
                let keys = BTreeMap::from([((1, 2), 3)]);
                Ok(Decision::event(Event::Added { by: 1 }).reply(&keys))
            }
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Added { by } => {
                self.total += by;
                *self.notes.entry(by.to_string()).or_default() += 1;
            }
            Event::Broken {} => panic!("apply"),
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => Ok(Reply::json(self)),
            Query::Refused {} => Err(Rejection::new("refused", "no")),
            Query::Panic {} => panic!("query"),
        }
    }

    fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
        cx.claims::<Value>()
            .map(drop)
            .ok_or_else(|| Rejection::new("forbidden", "no claims"))
    }

    fn check(&self) -> Result<(), Violation> {
        if self.total < 0 {
            return Err(Violation::new("total >= 0", self.total));
        }
        Ok(())
    }
}

/// All that a plugin wrote in one call.
#[derive(Debug, Default)]
pub(super) struct Answer {
    parts: Vec<(Part, Vec<u8>)>,
    fault: Option<Told>,
}

/// A fault as the host was told of it.
#[derive(Debug)]
pub(super) struct Told {
    kind: FaultKind,
    message: String,
    file: String,
    line: u32,
}

impl Answer {
    fn all(&self, part: Part) -> Vec<Value> {
        let of_part = self.parts.iter().filter(|(found, _)| *found == part);
        of_part
            .map(|(_, bytes)| serde_json::from_slice(bytes).unwrap())
            .collect()
    }

    fn one(&self, part: Part) -> Value {
        let [value] = <[Value; 1]>::try_from(self.all(part)).expect("one such part");
        value
    }

    fn bytes(&self, part: Part) -> Vec<u8> {
        let found = self.parts.iter().find(|(found, _)| *found == part);
        found.expect("one such part").1.clone()
    }

    fn fault(self) -> Told {
        self.fault.expect("a fault")
    }
}

unsafe extern "C" fn write(ctx: *mut c_void, part: Part, bytes: Bytes) {
    // SAFETY: the context is the answer of the call that runs.
    unsafe {
        (*ctx.cast::<Answer>())
            .parts
            .push((part, bytes.as_slice().to_vec()))
    }
}

unsafe extern "C" fn fault(ctx: *mut c_void, fault: *const Fault) {
    // SAFETY: as in `write`; the fault's bytes live for this callback.
    unsafe {
        let text = |bytes: Bytes| String::from_utf8(bytes.as_slice().to_vec()).unwrap();
        let fault = &*fault;
        (*ctx.cast::<Answer>()).fault = Some(Told {
            kind: fault.kind,
            message: text(fault.message),
            file: text(fault.file),
            line: fault.line,
        });
    }
}

/// Calls `body` with a sink, and gives what it returned and wrote.
pub(super) fn with_sink<T>(body: impl FnOnce(*const Sink) -> T) -> (T, Answer) {
    let mut answer = Answer::default();
    let sink = Sink {
        ctx: (&raw mut answer).cast(),
        write,
        fault,
    };
    let value = body(&raw const sink);
    (value, answer)
}

pub(super) fn call<'a>(event: &'a [u8], payload: &'a [u8]) -> Call {
    Call {
        key: Bytes::new(b"lobby"),
        event: Bytes::new(event),
        payload: Bytes::new(payload),
        claims: Bytes::EMPTY,
        now_ms: 1,
        seed: 2,
        seq: 3,
        caller: host_abi::Caller::CLIENT,
        hops: 0,
    }
}

/// One actor, behind the table.
pub(super) struct Actor {
    table: PluginVt,
    state: *mut State,
}

impl Actor {
    pub(super) fn new<S: Shape>() -> Self {
        let table = table::<S>();
        // SAFETY: the sink is this call's.
        let (state, answer) = with_sink(|sink| unsafe { (table.new)(Bytes::new(b"lobby"), sink) });
        assert!(!state.is_null(), "{answer:?}");
        Self { table, state }
    }

    pub(super) fn handle(&mut self, event: &str, payload: &str) -> (Status, Answer) {
        let call = call(event.as_bytes(), payload.as_bytes());
        // SAFETY: the state is this table's, the call and the sink are this call's.
        with_sink(|sink| unsafe { (self.table.handle)(self.state, &raw const call, sink) })
    }

    pub(super) fn timer(&mut self, event: &str, payload: &str) -> (Status, Answer) {
        let call = call(event.as_bytes(), payload.as_bytes());
        // SAFETY: as in `handle`.
        with_sink(|sink| unsafe { (self.table.timer)(self.state, &raw const call, sink) })
    }

    pub(super) fn query(&self, event: &str) -> (Status, Answer) {
        let call = call(event.as_bytes(), b"");
        // SAFETY: as in `handle`.
        with_sink(|sink| unsafe { (self.table.query)(self.state, &raw const call, sink) })
    }

    pub(super) fn apply(&mut self, event: &str) -> (Status, Answer) {
        let event = Bytes::new(event.as_bytes());
        // SAFETY: as in `handle`.
        with_sink(|sink| unsafe { (self.table.apply)(self.state, event, sink) })
    }

    pub(super) fn check(&self) -> (Status, Answer) {
        // SAFETY: as in `handle`.
        with_sink(|sink| unsafe { (self.table.check)(self.state, sink) })
    }

    pub(super) fn export(&self) -> Vec<u8> {
        // SAFETY: as in `handle`.
        let (status, answer) = with_sink(|sink| unsafe { (self.table.export)(self.state, sink) });
        assert_eq!(status, Status::OK);
        answer.bytes(Part::STATE)
    }

    /// The actor whose state came out of a function that makes one.
    pub(super) fn of(table: PluginVt, state: *mut State) -> Self {
        assert!(!state.is_null());
        Self { table, state }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // SAFETY: the state is this table's, and given back once.
        unsafe { (self.table.drop)(self.state) }
    }
}

#[test]
fn an_accepted_command_gives_event_effects_and_reply() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    let (status, answer) = lobby.handle("add", r#"{"by":2}"#);
    assert_eq!(status, Status::OK);
    assert_eq!(answer.one(Part::EVENT), json!({ "added": { "by": 2 } }));
    assert_eq!(answer.one(Part::REPLY), json!({ "total": 2, "seq": 3 }));
    assert_eq!(
        answer.all(Part::EFFECT),
        [
            json!({ "broadcast": { "event": "added", "payload": { "by": 2 } } }),
            json!({ "cancel_timer": { "name": "idle" } }),
        ]
    );
    let (_, answer) = lobby.query("summary");
    assert_eq!(
        answer.one(Part::REPLY),
        json!({ "total": 2, "notes": { "2": 1 } })
    );
}

#[test]
fn an_answer_records_nothing() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    let (status, answer) = lobby.handle("nothing", "");
    assert_eq!((status, answer.parts.len()), (Status::OK, 1));
    assert_eq!(answer.one(Part::REPLY), json!({ "total": 0 }));
}

#[test]
fn a_refusal_changes_nothing() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    let before = lobby.export();
    for (event, payload, reason) in [
        ("add", r#"{"by":0}"#, "nothing_to_add"),
        ("add", r#"{"by":1"#, "bad_payload"),
        ("subtract", "{}", "unknown_event"),
    ] {
        let (status, answer) = lobby.handle(event, payload);
        assert_eq!((status, answer.parts.len()), (Status::REJECTED, 1));
        assert_eq!(answer.one(Part::REJECTION)["reason"], reason);
    }
    let (_, answer) = lobby.handle("sumary", "");
    let message = answer.one(Part::REJECTION)["message"].clone();
    let known = message.as_str().unwrap();
    assert!(known.contains("known are: add, "), "{known}");
    assert!(
        known.ends_with("; its queries are: summary, refused, panic"),
        "{known}"
    );
    let (status, answer) = lobby.query("refused");
    assert_eq!(status, Status::REJECTED);
    assert_eq!(
        answer.one(Part::REJECTION),
        json!({ "reason": "refused", "message": "no" })
    );
    assert_eq!(lobby.export(), before);
}

#[test]
fn a_timer_that_no_one_knows_is_refused() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    for payload in ["", "{}"] {
        let (status, answer) = lobby.timer("idle", payload);
        assert_eq!(status, Status::REJECTED);
        assert_eq!(answer.one(Part::REJECTION)["reason"], "unknown_timer");
    }
}

#[test]
fn replay_and_export_give_the_same_bytes() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    let mut replayed = Actor::new::<Plain<Counter>>();
    for by in [10, 9, -3, 9] {
        let (_, answer) = lobby.handle("add", &json!({ "by": by }).to_string());
        let event = answer.one(Part::EVENT).to_string();
        assert_eq!(replayed.apply(&event).0, Status::OK);
    }
    let bytes = lobby.export();
    assert_eq!(replayed.export(), bytes);
    let table = table::<Plain<Counter>>();
    // SAFETY: the bytes and the sink are this call's.
    let (state, _) = with_sink(|sink| unsafe { (table.import)(Bytes::new(&bytes), sink) });
    assert_eq!(Actor::of(table, state).export(), bytes);
}

#[test]
fn check_names_what_is_broken() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    assert_eq!(lobby.check().0, Status::OK);
    lobby.handle("add", r#"{"by":-2}"#);
    let (status, answer) = lobby.check();
    assert_eq!(status, Status::REJECTED);
    let violation = json!({ "invariant": "total >= 0", "found": "-2" });
    assert_eq!(answer.one(Part::DOCUMENT), violation);
}

#[test]
fn authorize_sees_the_claims() {
    let table = table::<Plain<Counter>>();
    let mut asked = call(b"add", b"");
    let ask = |call: &Call| {
        // SAFETY: the call and the sink are this call's.
        with_sink(|sink| unsafe { (table.authorize)(std::ptr::from_ref(call), sink) })
    };
    let (status, answer) = ask(&asked);
    assert_eq!(status, Status::REJECTED);
    assert_eq!(answer.one(Part::REJECTION)["reason"], "forbidden");
    asked.claims = Bytes::new(b"{}");
    assert_eq!(ask(&asked).0, Status::OK);
}

#[test]
fn the_manifest_says_what_the_plugin_offers() {
    let table = table::<Plain<Counter>>();
    // SAFETY: the sink is this call's.
    let (status, answer) = with_sink(|sink| unsafe { (table.manifest)(sink) });
    assert_eq!(status, Status::OK);
    let manifest = answer.one(Part::DOCUMENT);
    assert_eq!(
        (&manifest["name"], &manifest["version"]),
        (&json!("counter"), &json!("0.2.0"))
    );
    assert_eq!(manifest["commands"][0], "add");
    assert_eq!(manifest["queries"], json!(["summary", "refused", "panic"]));
    let add = &manifest["schemas"]["commands"]["add"];
    assert_eq!(add["description"], "Adds.");
    assert_eq!(add["properties"]["by"]["type"], "integer");
    assert_eq!(manifest["idempotency"], json!({ "add": "id" }));
    assert_eq!(manifest["migrates_from"], Value::Null);
}

#[test]
fn what_an_author_leaves_out_is_well_or_absent() {
    let table = table::<Plain<Counter>>();
    // SAFETY: the sinks are each call's; a null state is nothing to free.
    unsafe {
        assert_eq!(with_sink(|sink| (table.health)(sink)).0, Status::OK);
        assert_eq!(with_sink(|sink| (table.shutdown)(sink)).0, Status::OK);
        assert_eq!(with_sink(|sink| (table.config)(sink)).0, Status::ABSENT);
        assert!(!(table.type_layout)(host_abi::TABLE_PLUGIN_VT).is_null());
        assert!((table.type_layout)(7).is_null());
        (table.drop)(std::ptr::null_mut());
    }
}
