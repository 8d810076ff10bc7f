//! The allocator that the host and all plugins share, and how much memory there may be.
//!
//! Handlers run on threads that come and go, and an upgrade rewrites every state, so what
//! one thread has allocated another frees. glibc's allocator is left with holes by that,
//! and searches them: behind six switches of 100,000 actors it held twice the memory that
//! jemalloc does, and a switch took twice the time of the first. jemalloc stands in its
//! place for the whole process, with the libraries of plugins and SQLite: it defines the
//! same symbols, and the program's come first. What is free goes back to the system within
//! seconds, on a thread of its own. `MALLOC_CONF` in the environment sets it otherwise:
//! <https://jemalloc.net/jemalloc.3.html#tuning>.

#![allow(
    unsafe_code,
    reason = "the allocator is told by its own function what no safe library tells it"
)]

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, ptr};

use host_actors::Memory;
use tikv_jemalloc_sys::mallctl;
use tikv_jemallocator::Jemalloc;

use crate::cgroup::Bounds;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Gives all that is free in all arenas back; 4096 is `MALLCTL_ARENAS_ALL`.
const PURGE: &CStr = c"arena.4096.purge";

/// Whether what is free is given back by threads of the allocator's own.
const BESIDE: &CStr = c"background_thread";

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
        // SAFETY: a name that ends with a zero, and neither a value nor room for one.
        let said = unsafe {
            let none = ptr::null_mut();
            mallctl(PURGE.as_ptr(), none, ptr::null_mut(), none, 0)
        };
        warn_unless_done(PURGE, said);
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

/// Has the allocator give back what is free by itself, also where nothing happens any more.
pub(crate) fn give_back_beside() {
    let mut on = true;
    // SAFETY: a name that ends with a zero, and a value of the type that it has, a `bool`.
    let said = unsafe {
        let none = ptr::null_mut();
        let on = ptr::from_mut(&mut on).cast::<c_void>();
        mallctl(
            BESIDE.as_ptr(),
            none,
            ptr::null_mut(),
            on,
            size_of::<bool>(),
        )
    };
    warn_unless_done(BESIDE, said);
}

/// What the allocator does not do, it does without harm: memory is given back later.
fn warn_unless_done(asked: &CStr, said: i32) {
    if said != 0 {
        let error = io::Error::from_raw_os_error(said);
        tracing::warn!(?asked, %error, "the allocator refuses to give memory back");
    }
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

    #[test]
    fn what_is_free_is_given_back_when_asked() {
        let heap = Heap::new(None);
        let blocks: Vec<_> = (0..1_000).map(|_| vec![1_u8; 100_000]).collect();
        let full = heap.resident_bytes();
        drop(blocks);
        heap.give_back();
        let empty = heap.resident_bytes();
        assert!(empty + 50_000_000 < full, "{full} bytes, then {empty}");
    }

    #[test]
    fn what_calls_malloc_itself_has_the_same_allocator() {
        // SAFETY: what malloc(3) has given is asked for its size by the allocator that is
        // meant to have given it, and freed once.
        let usable = unsafe {
            let block = libc::malloc(100_000);
            let usable = tikv_jemalloc_sys::malloc_usable_size(block);
            libc::free(block);
            usable
        };
        // Whole pages, for which jemalloc has classes; glibc would have added a few bytes.
        assert_eq!(usable % 4_096, 0, "{usable}");
    }
}
