//! How the C library's allocator, which the host and all plugins share, keeps memory,
//! and how much of it there may be.
//!
//! By itself it gives each thread that it can an arena of its own, up to eight for
//! each core. Handlers run on threads that come and go, so the states that an upgrade
//! rewrites move from arena to arena and leave holes in each: 100,000 actors took
//! 400 MiB before a switch and 2,200 MiB after ten. And it lets the size from which
//! memory goes back to the system grow with what was freed once. With bounds on both,
//! 3,000 actors stay at 46 MiB through four pairs of switches. glibc reads them when a
//! process begins, and not again: mallopt(3), `MALLOC_ARENA_MAX` and
//! `MALLOC_TRIM_THRESHOLD_`.

#![allow(
    unsafe_code,
    reason = "what the allocator has freed goes back to the system by its own function"
)]

use std::env;
use std::ffi::CStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use host_actors::Memory;

use crate::cgroup::Bounds;

/// Free bytes at the end of the heap that are given back; also ends the growth.
const TRIM_BYTES: u64 = 1 << 20;

/// Of the memory that there is: the rest is for a rehearsal's child, and the kernel's,
/// for the store's pages too.
pub(crate) const SHARE_PERCENT: u64 = 70;

/// The process's memory, and its bound.
#[derive(Debug)]
pub(crate) struct Heap {
    most_bytes: AtomicU64,
}

impl Heap {
    /// Bounded by `most_bytes`, or by [`SHARE_PERCENT`] of what the machine or a control
    /// group leaves to the process.
    pub(crate) fn new(most_bytes: Option<u64>) -> Self {
        Self {
            most_bytes: AtomicU64::new(Self::most(most_bytes)),
        }
    }

    /// Another bound from now on.
    pub(crate) fn set_most(&self, most_bytes: Option<u64>) {
        self.most_bytes
            .store(Self::most(most_bytes), Ordering::Relaxed);
    }

    fn most(most_bytes: Option<u64>) -> u64 {
        let share = || {
            let group = Bounds::own().memory_bytes;
            let machine = fs::read_to_string("/proc/meminfo").ok();
            let machine = machine.and_then(|text| machine_bytes(&text));
            let there_is = group.into_iter().chain(machine).min();
            there_is.map_or(u64::MAX, |bytes| bytes / 100 * SHARE_PERCENT)
        };
        most_bytes.unwrap_or_else(share)
    }
}

impl Memory for Heap {
    /// From the kernel; 0 where `/proc` is not mounted.
    fn resident_bytes(&self) -> u64 {
        let pages = fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4_096);
        pages.unwrap_or(0) * page
    }

    fn most_bytes(&self) -> u64 {
        self.most_bytes.load(Ordering::Relaxed)
    }

    fn give_back(&self) {
        // SAFETY: malloc_trim(3) takes the allocator's own locks, and nothing of ours.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Version of the C library that runs.
pub(crate) fn libc_version() -> String {
    // SAFETY: gnu_get_libc_version(3) gives a string of the C library's own, which is
    // there as long as the process is.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_string_lossy().into_owned()
}

/// `MemTotal` of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Begins the process anew with the bounds set, unless they are: an operator's own win.
pub(crate) fn bound() {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let wanted = [
        ("MALLOC_ARENA_MAX", cores.to_string()),
        ("MALLOC_TRIM_THRESHOLD_", TRIM_BYTES.to_string()),
    ];
    let unset: Vec<_> = (wanted.into_iter())
        .filter(|(name, _)| env::var_os(name).is_none())
        .collect();
    if unset.is_empty() {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    let error = Command::new(program)
        .args(env::args_os().skip(1))
        .envs(unset)
        .exec();
    eprintln!("the allocator keeps its defaults, and memory may grow with upgrades: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_as_much_as_the_kernel_says() {
        let text = "MemTotal:       24689116 kB\nMemFree: 1 kB\n";
        assert_eq!(machine_bytes(text), Some(24_689_116 * 1_024));
        assert_eq!(machine_bytes("MemFree: 1 kB"), None);
        let heap = Heap::new(None);
        assert!(heap.resident_bytes() > 0 && heap.most_bytes() < u64::MAX);
    }
}
