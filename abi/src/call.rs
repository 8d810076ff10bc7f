//! What a plugin is told with a call.

use abi_stable::StableAbi;

use crate::Bytes;

/// A plugin's state behind a pointer: made by `new`, `import` or `up` of one
/// plugin version, read and freed by that version only.
#[repr(C)]
#[derive(Debug, StableAbi)]
pub struct State {
    _opaque: [u8; 0],
}

/// Who sent a message.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, StableAbi)]
pub struct Caller(pub u32);

impl Caller {
    /// A client of the gateway, or an operator.
    pub const CLIENT: Self = Self(0);
    /// Another actor, by a cast.
    pub const ACTOR: Self = Self(1);
    /// A timer that this actor had set.
    pub const TIMER: Self = Self(2);
}

/// One message to an actor, with all that a handler may know of the world.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Call {
    /// The actor's key, without the plugin's name. UTF-8, which the host has checked.
    pub key: Bytes,
    /// Name of the command, query or timer. UTF-8, which the host has checked.
    pub event: Bytes,
    /// The payload as it came in (JSON; empty counts as `{}`).
    pub payload: Bytes,
    /// Verified claims of the caller (JSON object), or empty where there are none.
    pub claims: Bytes,
    /// Milliseconds since the Unix epoch, UTC. The time of the record that this
    /// call may cause; never less than at the actor's previous record.
    pub now_ms: i64,
    /// Seed for whatever randomness the handler needs. A replay or a shadow run gives the same.
    pub seed: u64,
    /// Sequence of the actor's last accepted command; 0 when there was none.
    pub seq: u64,
    /// Who sent it.
    pub caller: Caller,
    /// How many casts led here; 0 for a client's message.
    pub hops: u32,
}

/// One step between two versions, as `up`, `upcast` and `downcast` see it.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Migration {
    /// The other version (semver text), older than the plugin that is called.
    pub other: Bytes,
    /// The old state as the other version exported it.
    pub state: Bytes,
    /// The carry that a `down` of this version left behind, or empty.
    pub carry: Bytes,
    /// 1 if the old state has moved since that `down`; 0 if it is byte for byte
    /// what `down` gave. Meaningless without a carry.
    pub changed: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

pub(crate) const CALL_OFFSETS: &[usize] = &[
    core::mem::offset_of!(Call, key),
    core::mem::offset_of!(Call, event),
    core::mem::offset_of!(Call, payload),
    core::mem::offset_of!(Call, claims),
    core::mem::offset_of!(Call, now_ms),
    core::mem::offset_of!(Call, seed),
    core::mem::offset_of!(Call, seq),
    core::mem::offset_of!(Call, caller),
    core::mem::offset_of!(Call, hops),
];

pub(crate) const MIGRATION_OFFSETS: &[usize] = &[
    core::mem::offset_of!(Migration, other),
    core::mem::offset_of!(Migration, state),
    core::mem::offset_of!(Migration, carry),
    core::mem::offset_of!(Migration, changed),
    core::mem::offset_of!(Migration, reserved),
];
