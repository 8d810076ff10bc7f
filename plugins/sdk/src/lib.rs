//! What the author of a plugin sees.
//!
//! A plugin is the logic of one kind of actor. Its author writes four plain
//! serde types (state, commands, queries, events; commands and queries also derive
//! `schemars::JsonSchema`, from which clients are told their shapes), implements [`Plugin`] for
//! the state, and names it to [`export_plugin!`]. A version that changes the
//! shape of the state also implements [`Migrate`], and one that an operator configures
//! [`Configure`].
//!
//! A whole plugin. As `src/lib.rs` of a package it opens with a `//!` that says what
//! one actor is; what else a package needs is in `docs/plugins.md`:
//!
//! ```
//! use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, export_plugin};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// The state of one actor: what an event can change, and nothing else.
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter {
//!     total: i64,
//! }
//!
//! /// `counter:lobby` understands the command `add` with `{"by": 2}`.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(rename_all = "snake_case")]
//! enum Command {
//!     /// Adds to the total. Clients read this line in the description of the API.
//!     Add { by: i64 },
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(rename_all = "snake_case")]
//! enum Query {
//!     /// The total.
//!     Summary {},
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(rename_all = "snake_case")]
//! enum Event {
//!     Added { by: i64 },
//! }
//!
//! impl Plugin for Counter {
//!     const NAME: &'static str = "counter";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     type Command = Command;
//!     type Query = Query;
//!     type Event = Event;
//!
//!     fn new(_key: &str) -> Self {
//!         Self::default()
//!     }
//!
//!     /// Says what happens. Cannot change the state.
//!     fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
//!         match command {
//!             Command::Add { by: 0 } => Err(Rejection::new("nothing_to_add", "by is 0")),
//!             Command::Add { by } => {
//!                 let total = self.total.checked_add(by).ok_or_else(|| {
//!                     Rejection::new("too_large", format!("{} + {by} does not fit", self.total))
//!                 })?;
//!                 let reply = serde_json::json!({ "total": total });
//!                 Ok(Decision::event(Event::Added { by })
//!                     .broadcast("added", &reply)
//!                     .reply(&reply))
//!             }
//!         }
//!     }
//!
//!     /// Makes it so. The only place where the state changes.
//!     fn apply(&mut self, event: Event) {
//!         match event {
//!             Event::Added { by } => self.total += by,
//!         }
//!     }
//!
//!     fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
//!         match query {
//!             Query::Summary {} => Ok(Reply::json(self)),
//!         }
//!     }
//! }
//!
//! export_plugin!(Counter);
//! # fn main() {}
//! ```
//!
//! # Rules that the host relies on
//!
//! - `apply` is total and deterministic: it is also how the journal is replayed.
//! - Maps and sets in a state are ordered (`BTreeMap`, `BTreeSet`), so that a
//!   state has one encoding.
//! - Time and randomness come from [`Cx`]; no clock, environment, file, network
//!   or thread of the plugin's own.
//! - A panic costs the caller an error and the actor a rebuild from the journal.
//!   It never costs another actor anything.
//!
//! This crate must not know anything of the host but the ABI.

mod configure;
mod cx;
mod decision;
mod glue;
mod host;
mod log;
mod manifest;
mod message;
mod panics;
mod plugin;
mod schemas;

pub use crate::configure::{Configure, Setting};
pub use crate::cx::{Caller, Cx, Random};
pub use crate::decision::{Decision, Effect, Rejection, Reply};
pub use crate::message::Message;
pub use crate::plugin::{Migrate, Migrated, MigrationError, Plugin, Violation};

/// What [`export_plugin!`] expands to needs these names; nothing else should use them.
#[doc(hidden)]
pub mod __export {
    pub use crate::glue::{Configured, Migrating, Plain, table};
    pub use host_abi::PluginVt;
}

/// Exports a [`Plugin`] as the library's one symbol.
///
/// `export_plugin!(State)` for a first version, or for one whose state has the
/// shape of the version before; `export_plugin!(State: Migrate)` where
/// [`Migrate`] is implemented; `: Configure` and `: Migrate + Configure` where [`Configure`]
/// is. Once per library, in a crate whose `crate-type`
/// has `cdylib`.
#[macro_export]
macro_rules! export_plugin {
    ($state:ty) => {
        $crate::export_plugin!(@ $crate::__export::Plain<$state>);
    };
    ($state:ty: Migrate) => {
        $crate::export_plugin!(@ $crate::__export::Migrating<$state>);
    };
    ($state:ty: Configure) => {
        $crate::export_plugin!(@ $crate::__export::Configured<$crate::__export::Plain<$state>>);
    };
    ($state:ty: Migrate + Configure) => {
        $crate::export_plugin!(@ $crate::__export::Configured<$crate::__export::Migrating<$state>>);
    };
    (@ $shape:ty) => {
        const _: () = {
            static TABLE: $crate::__export::PluginVt = $crate::__export::table::<$shape>();

            /// The library's entry: its table of functions.
            #[allow(unsafe_code, reason = "the one exported symbol; its name is `host_abi::ENTRY_SYMBOL`")]
            // SAFETY: no other symbol of a plugin has this name, for it is exported here only.
            #[unsafe(no_mangle)]
            extern "C" fn host_plugin_entry() -> *const $crate::__export::PluginVt {
                &raw const TABLE
            }
        };
    };
}
