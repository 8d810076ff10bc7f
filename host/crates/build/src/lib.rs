//! Builds releases: from a workspace and a release file to a package that anyone can
//! install.
//!
//! A release file says what is in a release (`name`, `version`, `upgrade_scripts`, and a
//! `[[plugin]]` with `path` and `start` for each). Cargo says what the packages in those
//! paths are called and where it has put their libraries; what a plugin is called is what
//! its library says.
//!
//! # Invariants
//!
//! - The same inputs give the same bytes: no time, no user, no order of a folder's listing
//!   comes into a package. A signature is the one thing that differs. Where the sources of
//!   what is built lie is one of the inputs: the compiler writes it into the places of panics.
//! - A file appears as a whole or not at all.
//! - No secret and no address of a store goes in.
//!
//! This crate must not know a host that runs, a home, or how a package is unpacked. It never
//! opens a library itself: it is told what one says.

mod assemble;
mod cargo;
mod documents;
mod elf;
mod keys;
mod oci;
mod pack;
mod recipe;
mod sbom;
mod secrets;

pub use assemble::{Inputs, assemble};
pub use cargo::{Built, Request, build};
pub use documents::documents;
pub use keys::{Made, SecretKey, generate, read_key};
pub use oci::{Image, image};
pub use pack::{Packed, pack};
pub use recipe::{Part, Recipe};
