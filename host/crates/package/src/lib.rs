//! Packages: a release in one file, `NAME-VERSION.tar.zst`, and how it comes into a home.
//!
//! A package is a tar archive, packed by zstd (or gzip), of what lies in the release's
//! folder, in this order: `manifest.json`, then `manifest.json.minisig` where somebody
//! vouches for it, then every file that the manifest names, by name. Nothing else is in it:
//! no folder, no link, no file that the manifest does not name.
//!
//! # Invariants
//!
//! - Nothing of a package is written before its manifest is vouched for (where anybody has
//!   to) and fits the machine, and no path comes from the archive: files go where the
//!   manifest says.
//! - A release appears as a whole and durable, by one rename, or not at all; whatever fails
//!   leaves nothing behind.
//! - What is read has bounds: each file, and all of them.
//!
//! This crate must not know homes, stores or upgrades, nor how a package is built.

mod another;
mod error;
mod install;
mod lying;
mod machine;
mod names;
mod signature;
mod undo;
mod unpack;

pub use error::InstallError;
pub use install::{Installed, install, remove};
pub use lying::{is_package, lying};
pub use machine::{Machine, misfits};
pub use names::{MANIFEST, SIGNATURE, bytes_max};
pub use signature::{KeysError, TrustedKeys};
pub use undo::Undo;

#[cfg(test)]
mod tests;
