//! Digests of files that were read before and have not changed since.
//!
//! A release's program is most of what is to be verified, and each look at it costs as much
//! as reading it whole: of a plan, of the rehearsal behind it, of the upgrade, of a way back.
//! Whoever writes to a file, moves another one over it or sets its times changes the time of
//! its last change, which no program can set; git tells its files in the same way.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use host_loader::Digest;
use parking_lot::Mutex;

/// How long ago a change must be, seconds, for the next one to have another time: a file
/// system counts in ticks, and two changes may share one.
const SETTLED_S: i64 = 2;

/// Digests by path, for the life of a process.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<HashMap<PathBuf, (Stamp, Digest)>>);

/// What of a file is another when it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            file: (file.dev(), file.ino()),
            bytes: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        self.changed.0 < now_s.saturating_sub(SETTLED_S)
    }
}

impl Digests {
    /// The digest of the file at `path`. Blocking.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn of(&self, path: &Path) -> io::Result<Digest> {
        let mut file = File::open(path)?;
        let before = Stamp::of(&file.metadata()?);
        let known = self.0.lock().get(path).copied();
        if let Some((_, digest)) = known.filter(|(stamp, _)| *stamp == before) {
            return Ok(digest);
        }
        let digest = Digest::of_reader(&mut file)?;
        let is_same = Stamp::of(&file.metadata()?) == before;
        let mut known = self.0.lock();
        match is_same && before.is_settled() {
            true => _ = known.insert(path.to_owned(), (before, digest)),
            false => _ = known.remove(path),
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, FileTimes};

    use super::*;

    #[test]
    fn what_has_changed_is_read_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let digests = Digests::default();
        let found =
            |text: &str| assert_eq!(digests.of(&path).unwrap(), Digest::of(text.as_bytes()));
        fs::write(&path, "one").unwrap();
        found("one");
        let known = || digests.0.lock().contains_key(&path);
        assert!(!known(), "it may change again in the same moment");
        // As if it had been known for long: what stands there by now is told by its stamp.
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        digests
            .0
            .lock()
            .insert(path.clone(), (stamp, Digest::of(b"known")));
        found("known");
        fs::write(&path, "two").unwrap();
        found("two");
        let file = File::options().append(true).open(&path).unwrap();
        let stamp = Stamp::of(&file.metadata().unwrap());
        digests
            .0
            .lock()
            .insert(path.clone(), (stamp, Digest::of(b"known")));
        // Who sets the time of writing back does not set that of the change.
        fs::write(&path, "six").unwrap();
        let written =
            UNIX_EPOCH + std::time::Duration::new(stamp.written.0 as u64, stamp.written.1 as u32);
        file.set_times(FileTimes::new().set_modified(written))
            .unwrap();
        found("six");
        fs::remove_file(&path).unwrap();
        assert!(digests.of(&path).is_err());
    }

    #[test]
    fn a_change_long_ago_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        let now = Stamp::of(&fs::metadata(&path).unwrap());
        assert!(!now.is_settled());
        let long_ago = Stamp {
            changed: (now.changed.0 - SETTLED_S - 1, 0),
            ..now
        };
        assert!(long_ago.is_settled());
    }
}
