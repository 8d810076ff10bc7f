//! How the C library's allocator, which the host and all plugins share, keeps memory.
//!
//! By itself it gives each thread that it can an arena of its own, up to eight for
//! each core. Handlers run on threads that come and go, so the states that an upgrade
//! rewrites move from arena to arena and leave holes in each: 100,000 actors took
//! 400 MiB before a switch and 2,200 MiB after ten. And it lets the size from which
//! memory goes back to the system grow with what was freed once. With bounds on both,
//! 3,000 actors stay at 46 MiB through four pairs of switches. glibc reads them when a
//! process begins, and not again: mallopt(3), `MALLOC_ARENA_MAX` and
//! `MALLOC_TRIM_THRESHOLD_`.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Free bytes at the end of the heap that are given back; also ends the growth.
const TRIM_BYTES: u64 = 1 << 20;

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
