//! A plugin's table made by hand, without the SDK, and wrong where it is told to be.
//!
//! What it is told stands in its own file: [`marker`] is a text of 32 bytes that
//! a test overwrites in a copy, so that one build gives a library for each way to
//! go wrong. The names of these ways are in [`entry`] (the table) and in
//! [`init`] (what the start does). As it is built, `fine`, it opens and starts.
//!
//! Whatever the marker says, the functions behind the table keep to few rules:
//! see [`functions`].
//!
//! Used by the loader's tests, and by what tests a release that cannot be opened.

#![allow(
    unsafe_code,
    reason = "this plugin shows the ABI by hand, as the SDK never would"
)]

mod entry;
mod functions;
mod init;
mod marker;
