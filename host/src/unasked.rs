//! An end that the host has not decided: code of a plugin that ends the process.
//!
//! `exit` runs in any thread and ends with whatever code it is given, so a keeper, systemd or
//! a container would take it for a stop, and leave the service down. From the moment in which
//! code of plugins may run until the host itself ends, such an end is an abort: a crash that
//! everyone starts again from, whose core shows who called. `_exit` is not seen.

#![allow(
    unsafe_code,
    reason = "no safe library tells what `exit` is to run before the process ends"
)]

use std::io::Write;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

/// Whether an end would be none of the host's.
static IS_UNASKED: AtomicBool = AtomicBool::new(false);

/// While it lives, the process ends by the host, or aborts.
#[derive(Debug)]
pub(crate) struct Unasked(());

impl Unasked {
    /// # Errors
    ///
    /// The C library has no room left for it.
    pub(crate) fn aborts() -> Result<Self> {
        // SAFETY: `at_exit` lives as long as the process, and unwinds nowhere.
        let refused = unsafe { libc::atexit(at_exit) };
        ensure!(refused == 0, "be told when the process ends: atexit failed");
        IS_UNASKED.store(true, Ordering::SeqCst);
        Ok(Self(()))
    }
}

impl Drop for Unasked {
    fn drop(&mut self) {
        asked();
    }
}

/// The host has decided to end.
pub(crate) fn asked() {
    IS_UNASKED.store(false, Ordering::SeqCst);
}

extern "C" fn at_exit() {
    if IS_UNASKED.load(Ordering::SeqCst) {
        let mut log = std::io::stderr();
        // There may be nobody left to tell.
        let _ = writeln!(
            log,
            "a plugin has ended the process (std::process::exit), which it must not: \
             the host crashes, so that it is started again"
        );
        process::abort();
    }
}
