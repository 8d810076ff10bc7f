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
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host_model::ActorId;
use parking_lot::{Condvar, Mutex};

use crate::Actors;

/// How long one actor waits for another that is on its way back. One that has waited so
/// long goes without being written down: the other one does not return, which has a
/// remedy of its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whom the process before was bringing back when it died, as it left it in `file`: none,
/// if nothing there names an actor.
///
/// # Errors
///
/// The file cannot be read.
pub fn last_words(file: &Path) -> io::Result<Option<ActorId>> {
    match std::fs::read(file) {
        Ok(left) => Ok(String::from_utf8_lossy(&left).parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where they are written, if they are. No lock is held while an actor is named: one that
/// does not return would keep it.
#[derive(Debug, Default)]
pub(crate) struct LastWords {
    notes: Mutex<Option<Notes>>,
    /// Rung when nobody is named any more.
    free: Condvar,
}

#[derive(Debug)]
struct Notes {
    path: PathBuf,
    file: File,
    /// Who is on a way back, and is waited for.
    named: Option<ActorId>,
}

/// While this lives, the file names an actor, unless it was let go.
pub(crate) struct Said<'a> {
    words: &'a LastWords,
    id: ActorId,
}

impl Actors {
    /// From now on whoever goes back to an older version is named in `file` meanwhile, and
    /// one at a time goes: see [`last_words`]. What the file has goes.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn listen_for_last_words(&self, file: &Path) -> io::Result<()> {
        self.last_words.listen(file)
    }

    /// Nobody is on a way back any more: the file goes.
    pub fn forget_last_words(&self) {
        self.last_words.fall_silent();
    }
}

impl LastWords {
    /// Empties the file, and writes there from now on.
    pub(crate) fn listen(&self, path: &Path) -> io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)?;
        let path = path.to_owned();
        *self.notes.lock() = Some(Notes {
            path,
            file,
            named: None,
        });
        Ok(())
    }

    /// Writes no more, and removes the file.
    pub(crate) fn fall_silent(&self) {
        let notes = self.notes.lock().take();
        self.free.notify_all();
        let removed = notes.map(|notes| std::fs::remove_file(notes.path));
        if let Some(Err(error)) = removed {
            tracing::warn!(%error, "what was noted of a way back stays");
        }
    }

    /// Names `id` until the answer is dropped: one at a time, so that no one is named for
    /// another's death. None: they are not written.
    pub(crate) fn say(&self, id: &ActorId) -> Option<Said<'_>> {
        let is_free = |notes: &Option<Notes>| notes.as_ref().is_none_or(|it| it.named.is_none());
        let mut notes = self.notes.lock();
        if !is_free(&notes) {
            drop(notes);
            let wait = || {
                let until = Instant::now() + PATIENCE;
                let mut notes = self.notes.lock();
                while !is_free(&notes) && !self.free.wait_until(&mut notes, until).timed_out() {}
                notes
            };
            notes = tokio::task::block_in_place(wait);
        }
        let notes = notes.as_mut().filter(|notes| notes.named.is_none())?;
        let name = id.as_str().as_bytes();
        let file = &notes.file;
        file.write_all_at(name, 0)
            .and_then(|()| file.set_len(name.len() as u64))
            .inspect_err(|error| tracing::warn!(%error, "an actor's way back was not noted"))
            .ok()?;
        notes.named = Some(id.clone());
        Some(Said {
            words: self,
            id: id.clone(),
        })
    }

    /// Names `id` no longer, if it is named: it has come to the end of its way, or nobody
    /// waits for that any more.
    pub(crate) fn let_go(&self, id: &ActorId) {
        let mut notes = self.notes.lock();
        let named = notes.as_mut().filter(|it| it.named.as_ref() == Some(id));
        let Some(notes) = named else {
            return;
        };
        notes.named = None;
        if let Err(error) = notes.file.set_len(0) {
            tracing::warn!(%error, "an actor's way back is noted for longer than it takes");
        }
        self.free.notify_one();
    }
}

impl Drop for Said<'_> {
    fn drop(&mut self) {
        self.words.let_go(&self.id);
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
        assert_eq!(last_words(&path).unwrap(), None);
        words.listen(&path).unwrap();
        drop(words.say(&ali).unwrap());
        assert_eq!(last_words(&path).unwrap(), None);
        let said = words.say(&sara).unwrap();
        assert_eq!(
            last_words(&path).unwrap(),
            Some(sara),
            "as the next process finds it"
        );
        drop(said);
        assert_eq!(last_words(&path).unwrap(), None);
        words.fall_silent();
        assert!(!path.exists());
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(last_words(&path).unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_does_not_return_keeps_nobody_once_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("way-back");
        let words = LastWords::default();
        let (ali, sara) = ("faulty:ali".parse().unwrap(), "faulty:s".parse().unwrap());
        words.listen(&path).unwrap();
        let hangs = words.say(&ali).unwrap();
        assert!(words.say(&sara).is_none(), "one at a time");
        words.let_go(&sara);
        assert_eq!(last_words(&path).unwrap().as_ref(), Some(&ali));
        words.let_go(&ali);
        assert_eq!(last_words(&path).unwrap(), None);
        let said = words.say(&sara).unwrap();
        // It returns after all.
        drop(hangs);
        assert_eq!(last_words(&path).unwrap(), Some(sara));
        words.fall_silent();
        assert!(!path.exists(), "also while somebody is named");
        drop(said);
    }
}
