//! The threads on which sessions live, and the way onto them from any other.

use std::future::Future;
use std::sync::mpsc::sync_channel;

use tokio::runtime::{Builder, Runtime};

/// Two: a session that decodes a large answer must not hold up the others.
const THREADS: usize = 2;

/// A small runtime of the store's own.
pub(super) struct Tasks {
    /// Always there, until it is dropped.
    runtime: Option<Runtime>,
}

impl Tasks {
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("postgres")
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("taken on drop only")
    }

    /// Runs a task, and waits for its end. From any thread, one of another runtime
    /// included; not from one of these.
    pub(super) fn run<F>(&self, task: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (sender, ended) = sync_channel(1);
        self.runtime().spawn(async move {
            // The receiver waits below.
            let _ = sender.send(task.await);
        });
        ended.recv().expect("the task does not panic")
    }

    /// As [`Tasks::run`], for a task that borrows; from a thread that runs no tasks of a
    /// runtime. One that a runtime has for what blocks will do.
    pub(super) fn run_here<F: Future>(&self, task: F) -> F::Output {
        self.runtime().block_on(task)
    }

    /// Starts a task that nobody waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(task);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, and so may be done from a thread of a runtime.
            runtime.shutdown_background();
        }
    }
}
