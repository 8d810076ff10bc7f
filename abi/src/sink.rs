//! How a plugin answers: parts, written through a callback, and a status.

use core::ffi::c_void;

use abi_stable::StableAbi;

use crate::Bytes;

/// What a part of an answer is. Part numbers are never reused.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, StableAbi)]
pub struct Part(pub u32);

impl Part {
    /// The reply to the caller: JSON from a plugin built with the SDK's
    /// `Reply::json`, anything from `Reply::raw`. At most one.
    pub const REPLY: Self = Self(1);
    /// The event that `handle` or `timer` decided on and has already applied: JSON. One.
    pub const EVENT: Self = Self(2);
    /// One effect of the event, in order: a JSON object with its kind as the only key.
    pub const EFFECT: Self = Self(3);
    /// Why a command or query was refused: JSON `{"reason","message"}`.
    pub const REJECTION: Self = Self(4);
    /// An exported state: MessagePack with field names.
    pub const STATE: Self = Self(5);
    /// What a `down` could not express in the old state: MessagePack with field names.
    pub const CARRY: Self = Self(6);
    /// A converted message's payload (JSON).
    pub const PAYLOAD: Self = Self(7);
    /// A converted message's event name, where it changed.
    pub const NAME: Self = Self(8);
    /// A JSON document: manifest, configuration schema, samples, a violation.
    pub const DOCUMENT: Self = Self(9);
}

/// How a call ended.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, StableAbi)]
pub struct Status(pub u32);

impl Status {
    /// Done; the parts are in the sink.
    pub const OK: Self = Self(0);
    /// The plugin says no and nothing has changed; see [`Part::REJECTION`].
    pub const REJECTED: Self = Self(1);
    /// The plugin broke: a [`Fault`] was reported, and a state that the call
    /// could change is not to be used again.
    pub const FAULT: Self = Self(2);
    /// This plugin has no such function (an SDK default).
    pub const ABSENT: Self = Self(3);
}

/// The kind of a [`Fault`].
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, StableAbi)]
pub struct FaultKind(pub u32);

impl FaultKind {
    /// A panic, caught at the boundary.
    pub const PANIC: Self = Self(1);
    /// Bytes of a state, an event or a carry that the plugin cannot decode or encode.
    pub const CODEC: Self = Self(2);
    /// The author's code returned an error where it may, such as `up`, `down` or `check`.
    pub const ERROR: Self = Self(3);
}

/// What went wrong inside a plugin. Its bytes are borrowed for the callback.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// Line in [`Fault::file`], or 0.
    pub line: u32,
    /// Source file as the plugin's compiler knew it (UTF-8), or empty.
    pub file: Bytes,
    /// What happened (UTF-8).
    pub message: Bytes,
}

/// The host's end of an answer. Valid until the call it was passed to returns;
/// the plugin must not keep it and must not use it from another thread.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Sink {
    /// Opaque to the plugin, first argument of both callbacks.
    pub ctx: *mut c_void,
    /// Takes one part. The bytes are copied before it returns.
    pub write: unsafe extern "C" fn(*mut c_void, Part, Bytes),
    /// Takes the fault of this call. Its bytes are copied before it returns.
    pub fault: unsafe extern "C" fn(*mut c_void, *const Fault),
}

pub(crate) const FAULT_OFFSETS: &[usize] = &[
    core::mem::offset_of!(Fault, kind),
    core::mem::offset_of!(Fault, line),
    core::mem::offset_of!(Fault, file),
    core::mem::offset_of!(Fault, message),
];

pub(crate) const SINK_OFFSETS: &[usize] = &[
    core::mem::offset_of!(Sink, ctx),
    core::mem::offset_of!(Sink, write),
    core::mem::offset_of!(Sink, fault),
];
