//! The host's table, kept for the functions that have no call.

#![allow(unsafe_code, reason = "calls through the host's table of functions")]

use std::sync::OnceLock;

use host_abi::{Bytes, HostApi, LogLevel};

static HOST: OnceLock<Host> = OnceLock::new();

/// The host's functions, with the promise that they may be called.
#[derive(Debug)]
pub(crate) struct Host(HostApi);

// SAFETY: the host promises in `HostApi` that its functions take any thread,
// and that `ctx` is valid for the life of the process.
unsafe impl Send for Host {}
// SAFETY: as for Send.
unsafe impl Sync for Host {}

impl Host {
    /// Keeps the table. False if one is kept already, or if this one is older
    /// than what this SDK was built with.
    ///
    /// # Safety
    ///
    /// `api` is the pointer that the host passed to `init`.
    pub(crate) unsafe fn keep(api: *const HostApi) -> bool {
        if api.is_null() {
            return false;
        }
        // SAFETY: every table begins with its size, whatever its age.
        let size = unsafe { (*api).size };
        if size < size_of::<HostApi>() {
            return false;
        }
        // SAFETY: the table covers all that this version knows of it.
        HOST.set(Self(unsafe { *api })).is_ok()
    }

    pub(crate) fn get() -> Option<&'static Self> {
        HOST.get()
    }

    pub(crate) fn log_enabled(&self, level: LogLevel) -> bool {
        // SAFETY: see `Send`.
        unsafe { (self.0.log_enabled)(self.0.ctx, level) != 0 }
    }

    pub(crate) fn log(&self, level: LogLevel, target: &str, message: &str, fields: &[u8]) {
        // SAFETY: see `Send`; the bytes outlive the call.
        unsafe {
            (self.0.log)(
                self.0.ctx,
                level,
                Bytes::new(target.as_bytes()),
                Bytes::new(message.as_bytes()),
                Bytes::new(fields),
            );
        }
    }
}
