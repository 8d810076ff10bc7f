//! The least that is durable: one blob row for each group, and nothing else.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use host_model::limits::GROUP_RECORDS_MAX;

use crate::callers::{Caller, Durable, bytes, record};

type Appended = (Caller, Vec<u8>);

/// Makes one group durable, as one row.
pub(crate) type Commit = Box<dyn FnMut(&[u8]) -> Result<()> + Send>;

/// A writer's thread, and the channel to it.
pub(crate) struct Bare {
    sender: Option<Sender<Appended>>,
    writer: Option<JoinHandle<()>>,
}

impl Bare {
    pub(crate) fn start(mut commit: Commit, done: Sender<Durable>) -> Self {
        let (sender, appended) = mpsc::channel();
        let writer = thread::spawn(move || {
            while let Some((group, callers)) = gather(&appended) {
                let stored = commit(&group);
                if done.send(stored.map(|()| callers)).is_err() {
                    return;
                }
            }
        });
        Self {
            sender: Some(sender),
            writer: Some(writer),
        }
    }

    pub(crate) fn append(&self, caller: Caller) -> Result<()> {
        let bytes = bytes(&record(&caller));
        let sender = self.sender.as_ref().expect("taken on drop only");
        sender
            .send((caller, bytes))
            .map_err(|_| anyhow!("the bare loop has ended"))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the bare loop does not panic");
        }
    }
}

/// Waits for a record, and takes all that has gathered. None: nobody appends any more.
fn gather(appended: &Receiver<Appended>) -> Option<(Vec<u8>, Vec<Caller>)> {
    let (caller, mut group) = appended.recv().ok()?;
    let mut callers = vec![caller];
    while callers.len() < GROUP_RECORDS_MAX
        && let Ok((caller, bytes)) = appended.try_recv()
    {
        group.extend_from_slice(&bytes);
        callers.push(caller);
    }
    Some((group, callers))
}
