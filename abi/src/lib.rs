//! The binary interface between the host and a plugin.
//!
//! A plugin is a cdylib that exports one symbol, [`ENTRY_SYMBOL`]. It returns a
//! table of functions, [`PluginVt`]; the host hands its own table, [`HostApi`],
//! to `init`. Everything that crosses is a `repr(C)` type of this crate.
//!
//! # Invariants
//!
//! - **Nothing owned crosses.** In goes a borrowed pointer and a length
//!   ([`Bytes`]), valid for the call; out go bytes through a callback of the
//!   reader's own ([`Sink`]). What one side allocated, that side frees: the two
//!   may have different allocators and different copies of `std`.
//! - **No unwinding crosses.** Each function catches its panics and reports
//!   them as a [`Fault`].
//! - **Tables grow at the end only**, and a field is read only where `size`
//!   covers it. Every other type is frozen for an [`ABI_MAJOR`];
//!   [`LAYOUT_HASH`] is computed from the size, alignment and field offsets of
//!   all of them, so that a change cannot go unnoticed.
//!
//! This crate must not know the author's trait (that is the SDK's) nor how a
//! library is opened (that is the loader's).

#![allow(
    unsafe_code,
    reason = "one of the rooms for unsafe: the types of the boundary and their derived `StableAbi`"
)]

mod bytes;
mod call;
mod layout;
mod sink;
mod table;

pub use abi_stable;

pub use crate::bytes::Bytes;
pub use crate::call::{Call, Caller, Migration, State};
pub use crate::layout::LAYOUT_HASH;
pub use crate::sink::{Fault, FaultKind, Part, Sink, Status};
pub use crate::table::{
    EntryFn, HostApi, LogLevel, PluginVt, TABLE_HOST_API, TABLE_PLUGIN_VT, type_layout,
};

/// Generation of the interface. A plugin of another major is refused.
pub const ABI_MAJOR: u32 = 1;

/// Counts the fields added to the tables within a major. Informative: what may
/// be read is decided by a table's `size`.
pub const ABI_MINOR: u32 = 2;

/// The one symbol a plugin exports; its type is [`EntryFn`].
pub const ENTRY_SYMBOL: &str = "host_plugin_entry";
