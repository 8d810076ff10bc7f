//! Whose way back the process was in when it died.
//!
//! A `down` that ends the process would end the next one in the same place, and a stack
//! of dead processes says nothing about an actor. So, once a process has died on a way
//! back, the next one writes whom it is bringing back before it calls the plugin. What is
//! left in the file when that one dies, too, is its last words. They need no sync: what
//! they outlive is a process, not a machine.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use host_model::ActorId;
use parking_lot::{Mutex, MutexGuard};

/// How long one actor waits for another that is on its way back. One that has waited so
/// long goes without being written down: the other one does not return, which has a
/// remedy of its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where they are written, if they are.
#[derive(Debug, Default)]
pub(crate) struct LastWords(Mutex<Option<File>>);

/// While this lives, the file names an actor.
pub(crate) struct Said<'a>(MutexGuard<'a, Option<File>>);

impl LastWords {
    /// Reads what the process before has left in the file, and writes there from now on.
    pub(crate) fn listen(&self, path: &Path) -> io::Result<Option<ActorId>> {
        let left = match std::fs::read_to_string(path) {
            Ok(left) => left.parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)?;
        *self.0.lock() = Some(file);
        Ok(left)
    }

    /// Names `id` until the answer is dropped: one at a time, so that no one is named for
    /// another's death. None: they are not written.
    pub(crate) fn say(&self, id: &ActorId) -> Option<Said<'_>> {
        let file = self.0.try_lock_for(PATIENCE)?;
        file.as_ref()?
            .write_all_at(id.as_str().as_bytes(), 0)
            .inspect_err(|error| tracing::warn!(%error, "an actor's way back was not noted"))
            .ok()?;
        Some(Said(file))
    }
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        let emptied = self.0.as_ref().map(|file| file.set_len(0));
        if let Some(Err(error)) = emptied {
            tracing::warn!(%error, "an actor's way back is noted for longer than it takes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_under_way_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("way-back");
        let words = LastWords::default();
        let (ali, sara) = ("faulty:ali".parse().unwrap(), "faulty:s".parse().unwrap());
        assert!(words.say(&ali).is_none(), "nobody listens yet");
        assert_eq!(words.listen(&path).unwrap(), None);
        drop(words.say(&ali).unwrap());
        let said = words.say(&sara).unwrap();
        // What the next process finds, if this one ends here.
        assert_eq!(
            LastWords::default().listen(&path).unwrap(),
            Some(sara.clone())
        );
        drop(said);
        assert_eq!(LastWords::default().listen(&path).unwrap(), None);
    }
}
