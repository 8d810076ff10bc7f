//! The two tables of functions: the plugin's and the host's.

#![allow(
    clippy::wrong_self_convention,
    reason = "the derived prefix type has an accessor per field, and `new` is a field"
)]

use core::ffi::c_void;

use abi_stable::StableAbi;
use abi_stable::type_layout::TypeLayout;

use crate::{Bytes, Call, Migration, Part, Sink, State, Status};

/// Type of the symbol [`crate::ENTRY_SYMBOL`]. The table it points to must stay
/// valid and unchanged for as long as the library is mapped.
pub type EntryFn = unsafe extern "C" fn() -> *const PluginVt;

/// Names [`PluginVt`] to [`PluginVt::type_layout`].
pub const TABLE_PLUGIN_VT: u32 = 0;
/// Names [`HostApi`] to [`PluginVt::type_layout`].
pub const TABLE_HOST_API: u32 = 1;

/// Severity of a log line, as `tracing` orders them.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, StableAbi)]
pub struct LogLevel(pub u32);

impl LogLevel {
    /// `tracing::Level::ERROR`
    pub const ERROR: Self = Self(1);
    /// `tracing::Level::WARN`
    pub const WARN: Self = Self(2);
    /// `tracing::Level::INFO`
    pub const INFO: Self = Self(3);
    /// `tracing::Level::DEBUG`
    pub const DEBUG: Self = Self(4);
    /// `tracing::Level::TRACE`
    pub const TRACE: Self = Self(5);
}

/// What a plugin may ask of the host. Lives as long as the process.
///
/// Inside a call, time and randomness come with the [`Call`], so that a replay
/// sees the same; `now` and `random` here are for the functions without one.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostApiRef, prefix_fields = HostApiPrefix)))]
pub struct HostApi {
    /// `size_of::<HostApi>()` as the host was built.
    pub size: usize,
    /// Opaque to the plugin, first argument of each function.
    pub ctx: *const c_void,
    /// Whether a line of this level would be kept.
    pub log_enabled: unsafe extern "C" fn(*const c_void, LogLevel) -> u32,
    /// One log line: level, target, message, fields (JSON object or empty). Any thread.
    pub log: unsafe extern "C" fn(*const c_void, LogLevel, Bytes, Bytes, Bytes),
    /// Milliseconds since the Unix epoch, UTC.
    pub now: unsafe extern "C" fn(*const c_void) -> i64,
    /// 64 random bits.
    #[sabi(last_prefix_field)]
    pub random: unsafe extern "C" fn(*const c_void) -> u64,
}

/// What a plugin offers. Every function catches panics, takes a [`Sink`] for its
/// answer, and returns how it ended; a null state is a fault.
///
/// Functions that take a `*mut State` are never called twice at a time for one
/// state; different states are used from different threads at once.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginVtRef, prefix_fields = PluginVtPrefix)))]
pub struct PluginVt {
    /// `size_of::<PluginVt>()` as the plugin was built.
    pub size: usize,
    /// [`crate::ABI_MAJOR`] as the plugin was built.
    pub abi_major: u32,
    /// [`crate::ABI_MINOR`] as the plugin was built.
    pub abi_minor: u32,
    /// [`crate::LAYOUT_HASH`] as the plugin was built.
    pub layout_hash: u64,
    /// abi_stable's description of a table ([`TABLE_PLUGIN_VT`], [`TABLE_HOST_API`]),
    /// or null. Points to a `&'static TypeLayout` in the plugin; only `host inspect`
    /// calls it, in a process of its own, because the check keeps what it saw.
    pub type_layout: unsafe extern "C" fn(u32) -> *const c_void,
    /// Writes the plugin's manifest ([`Part::DOCUMENT`]). Callable before `init`.
    pub manifest: unsafe extern "C" fn(*const Sink) -> Status,
    /// Once for each opened library, before any state exists: the host's table
    /// (a `*const HostApi`, valid for ever) and the configuration (JSON object).
    pub init: unsafe extern "C" fn(*const c_void, Bytes, *const Sink) -> Status,
    /// The state of an actor that has accepted nothing yet.
    pub new: unsafe extern "C" fn(Bytes, *const Sink) -> *mut State,
    /// Decides a command and applies its event: EVENT, REPLY and EFFECTs, or a REJECTION.
    pub handle: unsafe extern "C" fn(*mut State, *const Call, *const Sink) -> Status,
    /// Applies an event that this version wrote. Total and deterministic.
    pub apply: unsafe extern "C" fn(*mut State, Bytes, *const Sink) -> Status,
    /// Answers a query: a REPLY or a REJECTION. Changes nothing.
    pub query: unsafe extern "C" fn(*const State, *const Call, *const Sink) -> Status,
    /// As `handle`, for a timer that has come due.
    pub timer: unsafe extern "C" fn(*mut State, *const Call, *const Sink) -> Status,
    /// Whether the claims in the call may do its event: OK or a REJECTION.
    pub authorize: unsafe extern "C" fn(*const Call, *const Sink) -> Status,
    /// Writes the STATE. Canonical: export, import, export gives the same bytes.
    pub export: unsafe extern "C" fn(*const State, *const Sink) -> Status,
    /// A state from bytes that the same schema exported.
    pub import: unsafe extern "C" fn(Bytes, *const Sink) -> *mut State,
    /// A state of this version from an older version's.
    pub up: unsafe extern "C" fn(*const Migration, *const Sink) -> *mut State,
    /// Writes the older version's STATE, and a CARRY of what it cannot hold.
    pub down: unsafe extern "C" fn(*const State, Bytes, *const Sink) -> Status,
    /// An older version's message in this version's shape: NAME and PAYLOAD.
    /// Arguments: the older version, then event and payload in the call.
    pub upcast: unsafe extern "C" fn(Bytes, *const Call, *const Sink) -> Status,
    /// This version's message in an older version's shape: NAME and PAYLOAD, or a REJECTION.
    pub downcast: unsafe extern "C" fn(Bytes, *const Call, *const Sink) -> Status,
    /// The state's invariants: OK, or REJECTED with a DOCUMENT that names what is broken.
    pub check: unsafe extern "C" fn(*const State, *const Sink) -> Status,
    /// Whether the plugin as a whole is well: OK or a REJECTION.
    pub health: unsafe extern "C" fn(*const Sink) -> Status,
    /// Sample commands that only this version knows, for a state: the seed, then
    /// how many. A DOCUMENT: JSON array of `{"event","payload"}`.
    pub samples: unsafe extern "C" fn(*const State, u64, u32, *const Sink) -> Status,
    /// What can be configured (DOCUMENT: JSON array of settings), or ABSENT. Callable before
    /// `init`.
    pub config: unsafe extern "C" fn(*const Sink) -> Status,
    /// Frees a state.
    pub drop: unsafe extern "C" fn(*mut State),
    /// Before the process ends. No function is called after it.
    #[sabi(last_prefix_field)]
    pub shutdown: unsafe extern "C" fn(*const Sink) -> Status,
    /// Since minor 1. Runs a hook of an appup, which the call's event names: OK, or a
    /// REJECTION, for a hook that is not known too. It may block, and is run again
    /// where an upgrade is.
    pub run: unsafe extern "C" fn(*const Call, *const Sink) -> Status,
    /// Since minor 2. What to work with from now on: a JSON object with a member for each
    /// setting of `config` that has a value. Called before the plugin's release rules and
    /// whenever a value has changed; a call under way may have the one before. OK, or a
    /// REJECTION, and then the one before stays.
    pub configure: unsafe extern "C" fn(Bytes, *const Sink) -> Status,
}

/// This crate's description of a table, for [`PluginVt::type_layout`] and for
/// the host's side of the comparison.
///
/// ```
/// assert!(host_abi::type_layout(host_abi::TABLE_PLUGIN_VT).is_some());
/// assert!(host_abi::type_layout(7).is_none());
/// ```
#[must_use]
pub fn type_layout(table: u32) -> Option<&'static TypeLayout> {
    match table {
        TABLE_PLUGIN_VT => Some(<PluginVtRef as StableAbi>::LAYOUT),
        TABLE_HOST_API => Some(<HostApiRef as StableAbi>::LAYOUT),
        _ => None,
    }
}

/// Types that cross by value inside the tables' signatures.
const _: () = {
    assert!(size_of::<Part>() == 4);
    assert!(size_of::<Status>() == 4);
};

macro_rules! offsets {
    ($type:ty: $($field:ident),+ $(,)?) => { &[$(core::mem::offset_of!($type, $field)),+] };
}

/// The fields of [`HostApi`] as of this major. Fields that come later are not added here.
pub(crate) const HOST_API_OFFSETS: &[usize] =
    offsets!(HostApi: size, ctx, log_enabled, log, now, random);

/// The fields of [`PluginVt`] as of this major. Fields that come later are not added here.
pub(crate) const PLUGIN_VT_OFFSETS: &[usize] = offsets!(
    PluginVt: size, abi_major, abi_minor, layout_hash, type_layout, manifest, init, new, handle,
    apply, query, timer, authorize, export, import, up, down, upcast, downcast, check, health,
    samples, config, drop, shutdown,
);
