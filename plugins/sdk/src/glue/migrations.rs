//! `up`, `down`, `upcast`, `downcast`, `samples`: present or absent.

use std::marker::PhantomData;
use std::ptr;

use host_abi::{Bytes, Call, FaultKind, Migration, Part, Sink, State, Status};

use super::{Migrations, Out, Shape, Stop, codec, import_bytes, make, run, text};
use crate::Rejection;
use crate::cx::Random;
use crate::message::Message;
use crate::plugin::{Migrate, MigrationError};

/// A plugin with migrations.
#[derive(Debug)]
pub struct Migrating<P>(PhantomData<P>);

impl<P: Migrate> Shape for Migrating<P> {
    type Plugin = P;
    const MIGRATES_FROM: Option<&'static str> = Some(P::FROM);
    const MIGRATIONS: Migrations = Migrations {
        up: up::<P>,
        down: down::<P>,
        upcast: cast::<P, Up>,
        downcast: cast::<P, Down>,
        samples: samples::<P>,
    };
}

/// The functions of a plugin that has none of them.
pub(super) const ABSENT: Migrations = {
    unsafe extern "C" fn up(_: *const Migration, sink: *const Sink) -> *mut State {
        // SAFETY: the host's sink.
        unsafe { Out(&*sink) }.fault(FaultKind::ERROR, "this plugin has no migrations", "", 0);
        ptr::null_mut()
    }
    unsafe extern "C" fn down(_: *const State, _: Bytes, _: *const Sink) -> Status {
        Status::ABSENT
    }
    unsafe extern "C" fn cast(_: Bytes, _: *const Call, _: *const Sink) -> Status {
        Status::ABSENT
    }
    unsafe extern "C" fn samples(_: *const State, _: u64, _: u32, _: *const Sink) -> Status {
        Status::ABSENT
    }
    Migrations {
        up,
        down,
        upcast: cast,
        downcast: cast,
        samples,
    }
};

fn failed(error: &MigrationError) -> Stop {
    Stop::fault(FaultKind::ERROR, error.to_string())
}

unsafe extern "C" fn up<P: Migrate>(migration: *const Migration, sink: *const Sink) -> *mut State {
    // SAFETY: the host's migration and sink, for this call.
    unsafe {
        make(sink, |_| {
            let migration = &*migration;
            let old = import_bytes::<P::Old>("the old state", migration.state.as_slice())?;
            let carry = match migration.carry.as_slice() {
                [] => None,
                bytes => Some(import_bytes::<P::Carry>("the carry", bytes)?),
            };
            P::up(old, carry, migration.changed != 0).map_err(|e| failed(&e))
        })
    }
}

unsafe extern "C" fn down<P: Migrate>(
    state: *const State,
    _other: Bytes,
    sink: *const Sink,
) -> Status {
    // SAFETY: a state of this version that no one changes meanwhile; the host's sink.
    unsafe {
        run(sink, |out| {
            let migrated = (*state.cast::<P>()).down().map_err(|e| failed(&e))?;
            out.msgpack(Part::STATE, &migrated.old)?;
            out.msgpack(Part::CARRY, &migrated.carry)
        })
    }
}

/// Which way a message is converted.
trait Direction {
    fn convert<P: Migrate>(message: Message) -> Result<Message, Rejection>;
}
struct Up;
struct Down;
impl Direction for Up {
    fn convert<P: Migrate>(message: Message) -> Result<Message, Rejection> {
        P::upcast(message)
    }
}
impl Direction for Down {
    fn convert<P: Migrate>(message: Message) -> Result<Message, Rejection> {
        P::downcast(message)
    }
}

unsafe extern "C" fn cast<P: Migrate, D: Direction>(
    _other: Bytes,
    call: *const Call,
    sink: *const Sink,
) -> Status {
    // SAFETY: the host's call, its bytes, and the sink, for this call.
    unsafe {
        run(sink, |out| {
            let (event, payload) = (text((*call).event), (*call).payload.as_slice());
            let payload = if payload.is_empty() { b"{}" } else { payload };
            let message = Message {
                event: event.to_owned(),
                payload: serde_json::from_slice(payload)
                    .map_err(|e| Rejection::new("bad_payload", e.to_string()))?,
            };
            let converted = D::convert::<P>(message)?;
            out.part(Part::NAME, converted.event.as_bytes());
            out.json(Part::PAYLOAD, &converted.payload)
        })
    }
}

unsafe extern "C" fn samples<P: Migrate>(
    state: *const State,
    seed: u64,
    count: u32,
    sink: *const Sink,
) -> Status {
    // SAFETY: as in `down`.
    unsafe {
        run(sink, |out| {
            let count = usize::try_from(count).map_err(|e| codec("a count", &e))?;
            let samples = (*state.cast::<P>()).samples(&mut Random::new(seed), count);
            out.json(Part::DOCUMENT, &samples)
        })
    }
}
