//! The host's threads: those that always answer, those that run handlers, and those of a sweep.

use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::config;

/// Threads of the control runtime: it has little to do, and always has to do it.
const CONTROL_THREADS: usize = 1;

/// How far the threads of a sweep let those of clients go first. A call that comes then gets
/// a processor at once, also where none is free. Further, a call to the very actor that comes
/// over waits behind all others: at 10 and 19 up to 40 ms, at 3 to 25 as at 0, and an upgrade
/// of 100,000 takes as long in any case (`make bench`, two cores).
const SWEEP_NICE: i32 = 3;

/// All of them.
pub(super) struct Runtimes {
    pub(super) control: Runtime,
    pub(super) data: Runtime,
    pub(super) sweepers: Runtime,
}

/// The runtimes on which plugins run: for whoever waits for an answer, and for a sweep.
#[derive(Clone, Copy)]
pub(super) struct Handlers<'a> {
    pub(super) data: &'a Handle,
    pub(super) sweepers: &'a Handle,
}

impl Runtimes {
    /// Starts their threads.
    ///
    /// # Errors
    ///
    /// The system has none.
    pub(super) fn start(config: &config::Runtime) -> Result<Self> {
        let cores = || available_parallelism().map_or(2, usize::from);
        let threads = config.threads.unwrap_or_else(cores);
        let stack_bytes = config.stack_bytes;
        Ok(Self {
            control: runtime("control", CONTROL_THREADS, None, 0)?,
            data: runtime("data", threads, stack_bytes, 0)?,
            sweepers: runtime("sweep", threads, stack_bytes, SWEEP_NICE)?,
        })
    }
}

/// A runtime whose threads let those of the others go first by so much as `niceness` says.
fn runtime(
    name: &'static str,
    threads: usize,
    stack_bytes: Option<usize>,
    niceness: i32,
) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if niceness > 0 {
        // Read here, for a thread begins with what the one has that started it.
        let own = rustix::process::getpriority_process(None).unwrap_or(0);
        builder.on_thread_start(move || {
            // Of this thread alone: setpriority(2), under "C library/kernel differences". Where
            // it may not, it does without.
            let _ = rustix::process::setpriority_process(None, own + niceness);
        });
    }
    if let Some(bytes) = stack_bytes {
        builder.thread_stack_size(bytes);
    }
    builder
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .with_context(|| format!("start the {name} runtime"))
}
