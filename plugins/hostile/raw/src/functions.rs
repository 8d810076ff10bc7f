//! Functions that keep to the ABI as far as memory goes, and no further: what
//! they say is missing, is not what it should be, or is something else.
//!
//! `handle` does what its event names: `fine`, `unknown_part`, `unknown_status`,
//! `bad_effect`; anything else refuses without a reason.

use host_abi::{Bytes, Call, Migration, Part, Sink, State, Status};

use crate::marker::behaviour;

const MANIFEST: &[u8] =
    br#"{"name":"raw","version":"0.1.0","sdk":"0.1.0","state_schema":1,"commands":["fine"]}"#;

/// Writes one part of the answer.
///
/// # Safety
///
/// `sink` is the one that the host passed with this call.
unsafe fn write(sink: *const Sink, part: Part, bytes: &[u8]) {
    // SAFETY: forwarded; the bytes outlive the call.
    unsafe { ((*sink).write)((*sink).ctx, part, Bytes::new(bytes)) }
}

/// With the marker `bad_manifest`: no JSON. With `no_manifest`: nothing.
pub(crate) unsafe extern "C" fn manifest(sink: *const Sink) -> Status {
    let manifest: &[u8] = match behaviour().as_str() {
        "bad_manifest" => b"name: raw",
        "no_manifest" => return Status::OK,
        _ => MANIFEST,
    };
    // SAFETY: the host's sink.
    unsafe { write(sink, Part::DOCUMENT, manifest) };
    Status::OK
}

/// Every actor's state is the same byte.
pub(crate) unsafe extern "C" fn new(_: Bytes, _: *const Sink) -> *mut State {
    static STATE: u8 = 0;
    (&raw const STATE).cast_mut().cast()
}

pub(crate) unsafe extern "C" fn handle(
    _: *mut State,
    call: *const Call,
    sink: *const Sink,
) -> Status {
    // SAFETY: the host's call and sink.
    unsafe {
        write(sink, Part::EVENT, b"{}");
        write(sink, Part::REPLY, b"{}");
        match (*call).event.as_slice() {
            b"fine" => Status::OK,
            b"unknown_part" => {
                write(sink, Part(99), b"of a newer minor");
                Status::OK
            }
            b"bad_effect" => {
                write(sink, Part::EFFECT, br#"{"explode":{}}"#);
                Status::OK
            }
            b"unknown_status" => Status(77),
            _ => Status::REJECTED,
        }
    }
}

/// May not refuse, and does.
pub(crate) unsafe extern "C" fn apply(_: *mut State, _: Bytes, _: *const Sink) -> Status {
    Status::REJECTED
}

/// Answers nothing.
pub(crate) unsafe extern "C" fn query(_: *const State, _: *const Call, _: *const Sink) -> Status {
    Status::OK
}

/// Is not there.
pub(crate) unsafe extern "C" fn timer(_: *mut State, _: *const Call, _: *const Sink) -> Status {
    Status::ABSENT
}

/// Refuses with what is no rejection.
pub(crate) unsafe extern "C" fn authorize(_: *const Call, sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe { write(sink, Part::REJECTION, b"no") };
    Status::REJECTED
}

/// Exports nothing.
pub(crate) unsafe extern "C" fn export(_: *const State, _: *const Sink) -> Status {
    Status::OK
}

/// Makes nothing, and does not say why.
pub(crate) unsafe extern "C" fn import(_: Bytes, _: *const Sink) -> *mut State {
    core::ptr::null_mut()
}

/// As `import`.
pub(crate) unsafe extern "C" fn up(_: *const Migration, _: *const Sink) -> *mut State {
    core::ptr::null_mut()
}

/// Gives a state without a carry.
pub(crate) unsafe extern "C" fn down(_: *const State, _: Bytes, sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe { write(sink, Part::STATE, b"") };
    Status::OK
}

/// Gives a payload without a name.
pub(crate) unsafe extern "C" fn upcast(_: Bytes, _: *const Call, sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe { write(sink, Part::PAYLOAD, b"{}") };
    Status::OK
}

/// Gives a name that is no text.
pub(crate) unsafe extern "C" fn downcast(_: Bytes, _: *const Call, sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe {
        write(sink, Part::NAME, b"\xff");
        write(sink, Part::PAYLOAD, b"{}");
    }
    Status::OK
}

/// Breaks, and does not say why.
pub(crate) unsafe extern "C" fn check(_: *const State, _: *const Sink) -> Status {
    Status::FAULT
}

pub(crate) unsafe extern "C" fn health(_: *const Sink) -> Status {
    Status::OK
}

pub(crate) unsafe extern "C" fn samples(_: *const State, _: u64, _: u32, _: *const Sink) -> Status {
    Status::ABSENT
}

pub(crate) unsafe extern "C" fn config(_: *const Sink) -> Status {
    Status::ABSENT
}

/// There is nothing to free.
pub(crate) unsafe extern "C" fn drop_state(_: *mut State) {}

pub(crate) unsafe extern "C" fn shutdown(_: *const Sink) -> Status {
    Status::OK
}

pub(crate) unsafe extern "C" fn run(_: *const Call, _: *const Sink) -> Status {
    Status::OK
}

pub(crate) unsafe extern "C" fn configure(_: Bytes, _: *const Sink) -> Status {
    Status::OK
}
