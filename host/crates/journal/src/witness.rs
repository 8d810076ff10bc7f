//! The file in which a home keeps what it last knew of its store, so that a start notices
//! if the store is another one, or has lost what it had. The same for every store.
//!
//! It is written when a store was taken, now and then while it is written to, and at an
//! end in order. So what it says of the end is a lower bound: a commit costs no second
//! sync, and what was committed within the last moments before a crash may be missing in
//! it. What it says is never more than there was.
//!
//! It also has the home's own name, and which process owned the store last: see
//! [`Process`].

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::OpenError;
use crate::group::Hash;
use crate::own::OwnRow;
use crate::process::Process;
use crate::store::{End, Reader};
use crate::{Position, files, hex};

/// Who were about to own the store: of these one has it, if it is this home's.
const OWNERS_MAX: usize = 4;

/// The file, and what it has.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
    note: Mutex<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Names this home, at random.
    home: String,
    /// Of the store, if one was opened.
    end: Option<Known>,
    /// Who were about to own it, the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owners: Vec<Owner>,
}

/// What was known of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    store: String,
    last: u64,
    #[serde(with = "hex::text")]
    hash: Hash,
    /// Of its owner, in a store where nobody but the owner raises it; or 0.
    #[serde(default)]
    epoch: u64,
    /// Whether a log beside the store's file may hold what the file has not.
    #[serde(default)]
    log: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// Names one opening of the store, at random.
    name: String,
    process: Process,
}

/// A store as it was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) store_id: &'a str,
    pub(crate) end: End,
    /// Hash of its last group that ends at or before the position that is known; none
    /// where it is removed, or there is none.
    pub(crate) then: Option<Hash>,
    /// 0 where it says nothing.
    pub(crate) epoch: u64,
}

impl Witness {
    /// Reads the file, and makes it where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |attempted| {
            move |source| OpenError::File {
                attempted,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(witness) = Self::read(path)? {
            return Ok(witness);
        }
        let note = Note {
            home: random_name().map_err(failed("name a home for"))?,
            end: None,
            owners: Vec::new(),
        };
        write(path, &note).map_err(failed("write"))?;
        Ok(Self {
            path: path.to_owned(),
            note: Mutex::new(note),
        })
    }

    /// Reads the file, if there is one.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, OpenError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(OpenError::File {
                    attempted: "read",
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let note = serde_json::from_slice(&bytes).map_err(|error| OpenError::Witness {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Some(Self {
            path: path.to_owned(),
            note: Mutex::new(note),
        }))
    }

    /// The home's name.
    pub(crate) fn home(&self) -> String {
        self.note.lock().home.clone()
    }

    /// Whether this home has ever opened a store.
    pub(crate) fn knows_a_store(&self) -> bool {
        self.note.lock().end.is_some()
    }

    /// Whether this home knows where this store ended.
    pub(crate) fn knows(&self, store_id: &str) -> bool {
        self.known(store_id).is_some()
    }

    /// Where this store ended, as far as this home knows.
    pub(crate) fn known(&self, store_id: &str) -> Option<End> {
        let note = self.note.lock();
        let known = note.end.as_ref().filter(|it| it.store == store_id)?;
        Some(known.end())
    }

    /// Whether the store's file may be behind what is in a log beside it; not if somebody
    /// of a later epoch has had it since.
    pub(crate) fn knows_a_log(&self, epoch: u64) -> bool {
        let note = self.note.lock();
        let end = note.end.as_ref();
        end.is_some_and(|known| known.log && epoch <= known.epoch)
    }

    /// Whether this opening of the store was one of this home's last ones.
    pub(crate) fn was_owner(&self, owner: &str) -> bool {
        let note = self.note.lock();
        note.owners.iter().any(|last| last.name == owner)
    }

    /// Whether this opening of the store was this home's, and its process is dead for
    /// certain.
    pub(crate) fn is_dead(&self, owner: &str) -> bool {
        let note = self.note.lock();
        let last = note.owners.iter().find(|last| last.name == owner);
        last.is_some_and(|last| last.process.is_dead())
    }

    /// Holds a store, as it is read, against what was known. `log` is the file beside it
    /// that should have what was committed last, where that is not there or empty.
    pub(crate) fn hold(
        &self,
        reader: &dyn Reader,
        own: &OwnRow,
        log: Option<&Path>,
    ) -> Result<(), OpenError> {
        let then = match self.known(&own.store_id) {
            Some(known) => reader.hash_before(Position(known.last.0 + 1))?,
            None => None,
        };
        self.check(Found {
            store_id: &own.store_id,
            end: own.end(),
            then,
            epoch: own.epoch,
        })?;
        match log.filter(|_| self.knows_a_log(own.epoch)) {
            Some(log) => self.refuse_if_known(&format!(
                "{} is not there, or empty, and has what was committed last",
                log.display()
            )),
            None => Ok(()),
        }
    }

    /// Holds a store against what was known.
    pub(crate) fn check(&self, found: Found<'_>) -> Result<(), OpenError> {
        let note = self.note.lock();
        let Some(known) = &note.end else {
            return Ok(());
        };
        let epochs = match found.epoch < known.epoch {
            true => Err(format!(
                "the store is of epoch {}, and this host had taken it in epoch {}: it is an older state of it",
                found.epoch, known.epoch
            )),
            false => Ok(()),
        };
        compare((&known.store, known.end()), found)
            .and(epochs)
            .map_err(|why| self.behind(why))
    }

    /// There is no store: refused if this home has had one.
    pub(crate) fn check_none(&self, place: &str) -> Result<(), OpenError> {
        self.refuse_if_known(&format!("{place} has no store"))
    }

    /// What was found cannot be the store: refused if this home has had one.
    pub(crate) fn refuse_if_known(&self, found: &str) -> Result<(), OpenError> {
        match &self.note.lock().end {
            None => Ok(()),
            Some(known) => Err(self.behind(format!(
                "{found}, and this home's store {} had committed up to position {}",
                known.store, known.last
            ))),
        }
    }

    fn behind(&self, why: String) -> OpenError {
        OpenError::Behind {
            why,
            witness: self.path.clone(),
        }
    }

    /// Keeps who is about to take the store.
    pub(crate) fn note_owner(&self, name: &str) -> bool {
        let owner = Owner {
            name: name.to_owned(),
            process: Process::this(),
        };
        self.change(|note| {
            note.owners.retain(|before| before.name != name);
            note.owners.insert(0, owner);
            note.owners.truncate(OWNERS_MAX);
        })
    }

    /// Keeps where a store ends whose server has it all.
    pub(crate) fn note(&self, store_id: &str, end: End) -> bool {
        self.note_file(store_id, end, 0, false)
    }

    /// Keeps where a store ends that is a file, if that is news; `epoch` is its owner's,
    /// and with a `log` the file may be behind. False: it could not be written.
    pub(crate) fn note_file(&self, store_id: &str, end: End, epoch: u64, log: bool) -> bool {
        let known = Known {
            store: store_id.to_owned(),
            last: end.last.0,
            hash: end.hash,
            epoch,
            log,
        };
        self.change(|note| note.end = Some(known))
    }

    fn change(&self, change: impl FnOnce(&mut Note)) -> bool {
        let mut note = self.note.lock();
        let mut news = note.clone();
        change(&mut news);
        if *note == news {
            return true;
        }
        match write(&self.path, &news) {
            Ok(()) => {
                *note = news;
                true
            }
            // The store itself is compared with what is known in memory; this is for
            // the next start.
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "what is known of the store could not be noted");
                false
            }
        }
    }
}

/// Whether the file `witness` knows of a store. One that cannot be read may.
#[must_use]
pub fn knows_a_store(witness: &Path) -> bool {
    witness.exists() && Witness::open(witness).map_or(true, |it| it.knows_a_store())
}

/// Forgets what a home knew of its store: an operator has put another one there.
///
/// # Errors
///
/// The system's.
pub fn forget(witness: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(witness) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Known {
    fn end(&self) -> End {
        End {
            last: Position(self.last),
            hash: self.hash,
        }
    }
}

/// Whether a store can be the one that was known before: it is that one, has not lost
/// what it had, and has the same history up to there.
pub(crate) fn compare(known: (&str, End), found: Found<'_>) -> Result<(), String> {
    let (known_id, known) = known;
    if known_id != found.store_id {
        return Err(format!(
            "the store that is there is {}, and this host's was {known_id}, which had committed up to position {}",
            found.store_id, known.last.0
        ));
    }
    let Position(at) = known.last;
    if found.end.last < known.last {
        return Err(format!(
            "the store ends at position {}, and had committed up to {at}: it has lost {} positions, as a standby that was promoted too early or a disk that was restored has",
            found.end.last.0,
            at - found.end.last.0
        ));
    }
    let then = match found.end.last == known.last {
        true => Some(found.end.hash),
        // What is removed for its age is vouched for by the anchor.
        false => found.then,
    };
    if then.is_some_and(|then| then != known.hash) {
        return Err(format!(
            "the store has another history than the one that this host knows up to position {at}"
        ));
    }
    Ok(())
}

/// Thirty-two hexadecimal digits that nobody else has.
pub(crate) fn random_name() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(hex::encode(&bytes))
}

fn write(path: &Path, note: &Note) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut text = serde_json::to_vec(note)?;
    text.push(b'\n');
    files::replace(path, &text, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(last: u64, hash: u8) -> End {
        End {
            last: Position(last),
            hash: [hash; 32],
        }
    }

    fn found(store_id: &str, end: End) -> Found<'_> {
        Found {
            store_id,
            end,
            then: None,
            epoch: 0,
        }
    }

    #[test]
    fn what_was_noted_is_known_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/store.json");
        let witness = Witness::open(&path).unwrap();
        assert_eq!(
            (witness.known("one"), witness.knows_a_store()),
            (None, false)
        );
        witness.check_none("here").unwrap();
        assert!(witness.note("one", end(7, 0xab)));
        let again = Witness::open(&path).unwrap();
        assert!(again.knows_a_store() && again.knows("one") && !again.knows("two"));
        assert_eq!(again.home(), witness.home());
        assert_eq!(again.known("one"), Some(end(7, 0xab)));
        again.check(found("one", end(7, 0xab))).unwrap();
        for lost in [
            again.check(found("one", end(6, 0xab))),
            again.check(found("two", end(9, 0xab))),
            again.check_none("here"),
        ] {
            let error = lost.unwrap_err();
            assert!(matches!(error, OpenError::Behind { .. }), "{error}");
            assert!(error.to_string().contains("position"), "{error}");
            assert!(error.to_string().contains("store.json"), "{error}");
        }
        forget(&path).unwrap();
        forget(&path).unwrap();
        Witness::open(&path).unwrap().check_none("here").unwrap();

        std::fs::write(&path, "{").unwrap();
        let damaged = Witness::open(&path).unwrap_err();
        assert!(matches!(damaged, OpenError::Witness { .. }), "{damaged}");
        assert!(damaged.must_look());
    }

    #[test]
    fn what_an_older_host_has_noted_is_known_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.json");
        let hash = "ab".repeat(32);
        let text = format!(r#"{{"home":"h","end":{{"store":"one","last":7,"hash":"{hash}"}}}}"#);
        std::fs::write(&path, text).unwrap();
        let witness = Witness::open(&path).unwrap();
        assert_eq!(witness.known("one"), Some(end(7, 0xab)));
        assert!(!witness.knows_a_log(0) && !witness.is_dead("anyone"));
    }

    #[test]
    fn an_older_state_is_told_by_its_epoch_though_nothing_was_committed_since() {
        let folder = tempfile::tempdir().unwrap();
        let witness = Witness::open(&folder.path().join("store.json")).unwrap();
        witness.note_file("one", end(7, 1), 3, true);
        assert!(witness.knows_a_log(3) && !witness.knows_a_log(4));
        let of_epoch = |epoch| Found {
            epoch,
            ..found("one", end(7, 1))
        };
        witness.check(of_epoch(3)).unwrap();
        assert!(witness.check(of_epoch(2)).is_err());
    }

    #[test]
    fn a_store_may_be_further_and_never_behind_or_of_another_history() {
        let known = ("one", end(5, 1));
        let further = |then| Found {
            then,
            ..found("one", end(6, 2))
        };
        for right in [
            found("one", end(5, 1)),
            further(Some([1; 32])),
            further(None),
        ] {
            assert_eq!(compare(known, right), Ok(()));
        }
        for wrong in [
            found("one", end(4, 1)),
            found("one", end(5, 2)),
            found("two", end(9, 1)),
            further(Some([9; 32])),
        ] {
            assert!(compare(known, wrong).is_err(), "{wrong:?}");
        }
    }
}
