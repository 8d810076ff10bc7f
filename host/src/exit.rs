//! With what the serving process ends by itself, for whoever keeps it; the names are
//! those of sysexits.h.

/// EX_SOFTWARE: a permanent plugin is past its limit of faults.
pub(crate) const PLUGIN: u8 = 70;

/// EX_IOERR: the store failed in a commit; the next start finds out what it holds.
pub(crate) const STORE: u8 = 74;

/// EX_TEMPFAIL: boot me again, now; another release is permanent.
pub(crate) const AGAIN: u8 = 75;
