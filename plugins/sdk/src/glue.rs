//! The functions behind the table, generic over the author's plugin.
//!
//! Each has the same form: [`guard`] turns what the body returns into a status
//! and parts, and a panic into a fault. Bytes from the host are borrowed for the
//! call; a state is a `Box<P>` behind [`State`], made and freed here only.

#![allow(
    unsafe_code,
    reason = "the SDK's room for unsafe: pointers that the host passes through the table"
)]

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use host_abi::{Bytes, Call, Fault, FaultKind, HostApi, Part, PluginVt, Sink, State, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cx::{Caller, Cx};
use crate::decision::{Decision, Rejection, Reply};
use crate::host::Host;
use crate::manifest::Manifest;
use crate::panics::Panicked;
use crate::plugin::Plugin;
use crate::{log, message, panics};

mod configuration;
mod migrations;
#[cfg(test)]
mod tests;

pub(crate) use configuration::Configuration;
pub use configuration::Configured;
pub use migrations::Migrating;

/// A plugin, with or without migrations: what a table is made of.
pub trait Shape: 'static {
    /// The author's plugin.
    type Plugin: Plugin;
    /// The requirement on the version that the migrations know.
    const MIGRATES_FROM: Option<&'static str>;
    /// The migrating functions of the table.
    const MIGRATIONS: Migrations;
    /// The functions of the table that are about its configuration.
    const CONFIGURATION: Configuration = configuration::ABSENT;
}

/// The part of the table that differs between [`Plain`] and [`Migrating`].
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    up: unsafe extern "C" fn(*const host_abi::Migration, *const Sink) -> *mut State,
    down: unsafe extern "C" fn(*const State, Bytes, *const Sink) -> Status,
    upcast: unsafe extern "C" fn(Bytes, *const Call, *const Sink) -> Status,
    downcast: unsafe extern "C" fn(Bytes, *const Call, *const Sink) -> Status,
    samples: unsafe extern "C" fn(*const State, u64, u32, *const Sink) -> Status,
}

/// A plugin without migrations.
#[derive(Debug)]
pub struct Plain<P>(PhantomData<P>);

impl<P: Plugin> Shape for Plain<P> {
    type Plugin = P;
    const MIGRATES_FROM: Option<&'static str> = None;
    const MIGRATIONS: Migrations = migrations::ABSENT;
}

/// The table of a plugin.
#[must_use]
pub const fn table<S: Shape>() -> PluginVt {
    let migrations = S::MIGRATIONS;
    let configuration = S::CONFIGURATION;
    PluginVt {
        size: size_of::<PluginVt>(),
        abi_major: host_abi::ABI_MAJOR,
        abi_minor: host_abi::ABI_MINOR,
        layout_hash: host_abi::LAYOUT_HASH,
        type_layout,
        manifest: manifest::<S>,
        init,
        new: new::<S::Plugin>,
        handle: handle::<S::Plugin>,
        apply: apply::<S::Plugin>,
        query: query::<S::Plugin>,
        timer: timer::<S::Plugin>,
        authorize: authorize::<S::Plugin>,
        export: export::<S::Plugin>,
        import: import::<S::Plugin>,
        up: migrations.up,
        down: migrations.down,
        upcast: migrations.upcast,
        downcast: migrations.downcast,
        check: check::<S::Plugin>,
        health: health::<S::Plugin>,
        samples: migrations.samples,
        config: configuration.config,
        drop: drop_state::<S::Plugin>,
        shutdown,
        run: run_hook::<S::Plugin>,
        configure: configuration.configure,
    }
}

/// Why a body did not end well. A pointer: what goes well is not to make room for it.
pub(crate) struct Stop(Box<Why>);

enum Why {
    /// The plugin says no.
    Rejected(Rejection),
    /// The plugin broke.
    Fault(FaultKind, String),
}

impl Stop {
    #[cold]
    fn fault(kind: FaultKind, message: String) -> Self {
        Self(Box::new(Why::Fault(kind, message)))
    }
}

impl From<Rejection> for Stop {
    #[cold]
    fn from(rejection: Rejection) -> Self {
        Self(Box::new(Why::Rejected(rejection)))
    }
}

/// Bytes that could not be read or written.
#[cold]
pub(crate) fn codec(what: &str, error: &dyn std::fmt::Display) -> Stop {
    Stop::fault(FaultKind::CODEC, format!("{what}: {error}"))
}

/// Somewhat more than the bytes of the last state that was encoded: the next one, as a rule
/// of another actor, is about as long, and a buffer that grows to it is copied again and
/// again.
static EXPECTED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The most that is set aside for a state before it is encoded.
const EXPECTED_BYTES_MAX: usize = 16 << 10;

/// The host's end of the answer, for the length of one call.
pub(crate) struct Out<'a>(&'a Sink);

impl Out<'_> {
    pub(crate) fn part(&self, part: Part, bytes: &[u8]) {
        // SAFETY: the sink is valid for this call, and copies before it returns.
        unsafe { (self.0.write)(self.0.ctx, part, Bytes::new(bytes)) }
    }

    pub(crate) fn json(&self, part: Part, value: &impl Serialize) -> Result<(), Stop> {
        let bytes = serde_json::to_vec(value).map_err(|e| codec("encode as JSON", &e))?;
        self.part(part, &bytes);
        Ok(())
    }

    pub(crate) fn msgpack(&self, part: Part, value: &impl Serialize) -> Result<(), Stop> {
        let is_state = part == Part::STATE;
        let mut bytes = match is_state {
            true => Vec::with_capacity(EXPECTED_BYTES.load(Ordering::Relaxed)),
            // A carry, which is small or not there.
            false => Vec::new(),
        };
        rmp_serde::encode::write_named(&mut bytes, value)
            .map_err(|e| codec("encode as MessagePack", &e))?;
        if is_state {
            let expected = bytes.len() + bytes.len() / 8;
            EXPECTED_BYTES.store(expected.min(EXPECTED_BYTES_MAX), Ordering::Relaxed);
        }
        self.part(part, &bytes);
        Ok(())
    }

    fn fault(&self, kind: FaultKind, message: &str, file: &str, line: u32) {
        let fault = Fault {
            kind,
            line,
            file: Bytes::new(file.as_bytes()),
            message: Bytes::new(message.as_bytes()),
        };
        // SAFETY: as in `part`.
        unsafe { (self.0.fault)(self.0.ctx, &raw const fault) }
    }
}

/// Runs the body of a function of the table, and reports how it ended.
///
/// # Safety
///
/// `sink` is the pointer that the host passed with this call.
pub(crate) unsafe fn guard<T>(
    sink: *const Sink,
    body: impl FnOnce(&Out<'_>) -> Result<T, Stop>,
) -> Result<T, Status> {
    // SAFETY: the host passes a sink that is valid for the call.
    let out = Out(unsafe { &*sink });
    let body = || body(&out).map_err(|stop| stopped(&out, stop));
    panics::catch(body).unwrap_or_else(|panicked| Err(broken(&out, &panicked)))
}

#[cold]
fn broken(out: &Out<'_>, panicked: &Panicked) -> Status {
    let Panicked {
        message,
        file,
        line,
    } = panicked;
    out.fault(FaultKind::PANIC, message, file, *line);
    Status::FAULT
}

#[cold]
fn stopped(out: &Out<'_>, stop: Stop) -> Status {
    match *stop.0 {
        Why::Rejected(rejection) => {
            let json = serde_json::to_vec(&rejection).expect("two strings are JSON");
            out.part(Part::REJECTION, &json);
            Status::REJECTED
        }
        Why::Fault(kind, message) => {
            out.fault(kind, &message, "", 0);
            Status::FAULT
        }
    }
}

/// [`guard`] for functions whose answer is in the sink.
unsafe fn run(sink: *const Sink, body: impl FnOnce(&Out<'_>) -> Result<(), Stop>) -> Status {
    // SAFETY: forwarded.
    match unsafe { guard(sink, body) } {
        Ok(()) => Status::OK,
        Err(status) => status,
    }
}

/// [`guard`] for functions that make a state.
pub(crate) unsafe fn make<P: Plugin>(
    sink: *const Sink,
    body: impl FnOnce(&Out<'_>) -> Result<P, Stop>,
) -> *mut State {
    // SAFETY: forwarded.
    match unsafe { guard(sink, |out| body(out).map(Box::new)) } {
        Ok(state) => Box::into_raw(state).cast(),
        Err(_) => ptr::null_mut(),
    }
}

/// A text from the host: checked there, and not again at each call.
///
/// # Safety
///
/// `bytes` are what the ABI calls UTF-8, valid for `'a`.
pub(crate) unsafe fn text<'a>(bytes: Bytes) -> &'a str {
    // SAFETY: forwarded.
    unsafe { str::from_utf8_unchecked(bytes.as_slice()) }
}

pub(crate) fn import_bytes<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Stop> {
    rmp_serde::from_slice(bytes).map_err(|e| codec(what, &e))
}

/// The call as an author sees it, and its payload.
///
/// # Safety
///
/// `call` is the pointer that the host passed, valid for `'a`.
#[inline(always)]
unsafe fn cx<'a>(call: *const Call) -> (Cx<'a>, &'a [u8]) {
    // SAFETY: the call and its bytes are borrowed for this call into the plugin, and
    // the ABI has key and event be UTF-8.
    let (call, key, event, claims, payload) = unsafe {
        let call = &*call;
        (
            call,
            text(call.key),
            text(call.event),
            call.claims.as_slice(),
            call.payload.as_slice(),
        )
    };
    let cx = Cx {
        key,
        event,
        claims,
        now_ms: call.now_ms,
        seed: Cell::new(call.seed),
        seq: call.seq,
        caller: match call.caller {
            host_abi::Caller::ACTOR => Caller::Actor,
            host_abi::Caller::TIMER => Caller::Timer,
            _ => Caller::Client,
        },
    };
    (cx, payload)
}

#[inline(always)]
fn reply(out: &Out<'_>, reply: Reply) -> Result<(), Stop> {
    let bytes = reply.0.map_err(|e| codec("encode a reply", &e))?;
    out.part(Part::REPLY, &bytes);
    Ok(())
}

fn carry_out<P: Plugin>(
    state: &mut P,
    decision: Decision<P::Event>,
    out: &Out<'_>,
) -> Result<(), Stop> {
    match decision.event {
        Some(event) => {
            out.json(Part::EVENT, &event)?;
            for effect in &decision.effects {
                out.json(Part::EFFECT, effect)?;
            }
            reply(out, decision.reply)?;
            state.apply(event);
            Ok(())
        }
        None if decision.effects.is_empty() => reply(out, decision.reply),
        None => Err(Stop::fault(
            FaultKind::ERROR,
            "a decision without an event has effects; effects belong to an event".to_owned(),
        )),
    }
}

unsafe extern "C" fn type_layout(table: u32) -> *const c_void {
    host_abi::type_layout(table).map_or(ptr::null(), |layout| ptr::from_ref(layout).cast())
}

unsafe extern "C" fn manifest<S: Shape>(sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe {
        run(sink, |out| {
            let manifest = Manifest::of::<S::Plugin>(S::MIGRATES_FROM);
            out.json(Part::DOCUMENT, &manifest)
        })
    }
}

unsafe extern "C" fn init(api: *const c_void, _config: Bytes, sink: *const Sink) -> Status {
    // SAFETY: the host's sink, and the host's table, which lives for ever.
    unsafe {
        run(sink, |_| {
            panics::install_hook();
            if !Host::keep(api.cast::<HostApi>()) {
                return Err(Stop::fault(
                    FaultKind::ERROR,
                    "init: called twice, or by a host older than this plugin's SDK".to_owned(),
                ));
            }
            if let Some(host) = Host::get() {
                tracing::subscriber::set_global_default(log::Forward(host))
                    .map_err(|e| Stop::fault(FaultKind::ERROR, e.to_string()))?;
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn new<P: Plugin>(key: Bytes, sink: *const Sink) -> *mut State {
    // SAFETY: the host's sink and bytes, for this call.
    unsafe { make(sink, |_| Ok(P::new(text(key)))) }
}

unsafe extern "C" fn handle<P: Plugin>(
    state: *mut State,
    call: *const Call,
    sink: *const Sink,
) -> Status {
    // SAFETY: a state of this version that no one else uses; the host's call and sink.
    unsafe {
        run(sink, |out| {
            let state = &mut *state.cast::<P>();
            let (cx, payload) = cx(call);
            let command = message::parse_command::<_, P::Query>(cx.event(), payload)?;
            let decision = state.decide(&cx, command)?;
            carry_out(state, decision, out)
        })
    }
}

unsafe extern "C" fn timer<P: Plugin>(
    state: *mut State,
    call: *const Call,
    sink: *const Sink,
) -> Status {
    // SAFETY: as in `handle`.
    unsafe {
        run(sink, |out| {
            let state = &mut *state.cast::<P>();
            let (cx, payload) = cx(call);
            let payload = if payload.is_empty() { b"{}" } else { payload };
            let payload = serde_json::from_slice(payload).map_err(|e| codec("a timer", &e))?;
            let decision = state.timer(&cx, payload)?;
            carry_out(state, decision, out)
        })
    }
}

unsafe extern "C" fn apply<P: Plugin>(
    state: *mut State,
    event: Bytes,
    sink: *const Sink,
) -> Status {
    // SAFETY: as in `handle`.
    unsafe {
        run(sink, |_| {
            let event = serde_json::from_slice(event.as_slice())
                .map_err(|e| codec("an event of the journal", &e))?;
            (*state.cast::<P>()).apply(event);
            Ok(())
        })
    }
}

unsafe extern "C" fn query<P: Plugin>(
    state: *const State,
    call: *const Call,
    sink: *const Sink,
) -> Status {
    // SAFETY: a state of this version that no one changes meanwhile; the host's call and sink.
    unsafe {
        run(sink, |out| {
            let (cx, payload) = cx(call);
            let query = message::parse(cx.event(), payload)?;
            reply(out, (*state.cast::<P>()).query(&cx, query)?)
        })
    }
}

unsafe extern "C" fn authorize<P: Plugin>(call: *const Call, sink: *const Sink) -> Status {
    // SAFETY: the host's call and sink.
    unsafe { run(sink, |_| Ok(P::authorize(&cx(call).0)?)) }
}

unsafe extern "C" fn export<P: Plugin>(state: *const State, sink: *const Sink) -> Status {
    // SAFETY: as in `query`.
    unsafe { run(sink, |out| out.msgpack(Part::STATE, &*state.cast::<P>())) }
}

unsafe extern "C" fn import<P: Plugin>(bytes: Bytes, sink: *const Sink) -> *mut State {
    // SAFETY: the host's sink and bytes, for this call.
    unsafe {
        make(sink, |_| {
            import_bytes::<P>("a stored state", bytes.as_slice())
        })
    }
}

unsafe extern "C" fn check<P: Plugin>(state: *const State, sink: *const Sink) -> Status {
    // SAFETY: as in `query`.
    unsafe {
        match guard(sink, |out| match (*state.cast::<P>()).check() {
            Ok(()) => Ok(Status::OK),
            Err(violation) => {
                out.json(Part::DOCUMENT, &violation)?;
                Ok(Status::REJECTED)
            }
        }) {
            Ok(status) | Err(status) => status,
        }
    }
}

unsafe extern "C" fn health<P: Plugin>(sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe { run(sink, |_| Ok(P::health()?)) }
}

unsafe extern "C" fn run_hook<P: Plugin>(call: *const Call, sink: *const Sink) -> Status {
    // SAFETY: the host's call and sink.
    unsafe {
        run(sink, |_| {
            let (cx, _) = cx(call);
            Ok(P::run(cx.event(), &cx)?)
        })
    }
}

unsafe extern "C" fn drop_state<P: Plugin>(state: *mut State) {
    if state.is_null() {
        return;
    }
    // SAFETY: made by `make` of this version, and given back once. A panic in a
    // field's drop has no one to tell it to; what is left is leaked.
    let _ = panics::catch(|| unsafe { drop(Box::from_raw(state.cast::<P>())) });
}

unsafe extern "C" fn shutdown(sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe { run(sink, |_| Ok(())) }
}
