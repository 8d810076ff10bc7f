//! The file in which a home keeps what it last knew of the store's end, so that a start
//! notices too if a server has lost it. Written now and then, and at the end.
//!
//! It also has the home's own name: who comes back after a crash is known as the owner
//! of before by it, and needs not wait for his own lease to run out.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::truth::compare;
use crate::error::OpenError;
use crate::store::End;
use crate::{Position, files, hex};

/// The file, and what it has.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    note: Mutex<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Names this home, at random.
    home: String,
    /// [`End`] of the store, if one was opened.
    end: Option<Known>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    store: String,
    last: u64,
    hash: String,
}

impl Witness {
    /// Reads the file, and makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |attempted| {
            move |source| OpenError::File {
                attempted,
                path: path.to_owned(),
                source,
            }
        };
        let note = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| failed("understand")(error.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let note = Note {
                    home: random_name().map_err(failed("name a home for"))?,
                    end: None,
                };
                write(path, &note).map_err(failed("write"))?;
                note
            }
            Err(error) => return Err(failed("read")(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            note: Mutex::new(note),
        })
    }

    /// The home's name.
    pub(super) fn home(&self) -> String {
        self.note.lock().home.clone()
    }

    /// Whether this home has ever opened a store.
    pub(super) fn knows_a_store(&self) -> bool {
        self.note.lock().end.is_some()
    }

    /// Where the store ended, as far as this home knows: nowhere if it was another.
    pub(super) fn known(&self, store_id: &str) -> Option<End> {
        let note = self.note.lock();
        let known = note.end.as_ref().filter(|it| it.store == store_id)?;
        Some(End {
            last: Position(known.last),
            hash: hex::decode(&known.hash)?,
        })
    }

    /// Holds a store against what was known.
    pub(super) fn check(&self, store_id: &str, end: End) -> Result<(), OpenError> {
        let Some(known) = self.known(store_id) else {
            return Ok(());
        };
        compare((store_id, known), (store_id, end)).map_err(|why| OpenError::Behind {
            why,
            witness: self.path.clone(),
        })
    }

    /// Keeps where the store ends, if that is news.
    pub(super) fn write(&self, store_id: &str, end: End) {
        let known = Some(Known {
            store: store_id.to_owned(),
            last: end.last.0,
            hash: hex::encode(&end.hash),
        });
        let mut note = self.note.lock();
        if note.end == known {
            return;
        }
        let news = Note {
            home: note.home.clone(),
            end: known,
        };
        match write(&self.path, &news) {
            Ok(()) => *note = news,
            // The store itself is compared with what is known in memory; this is for
            // the next start.
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "what is known of the store could not be noted");
            }
        }
    }
}

/// Thirty-two hexadecimal digits that nobody else has.
pub(super) fn random_name() -> std::io::Result<String> {
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

    #[test]
    fn what_was_noted_is_known_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/store.json");
        let end = End {
            last: Position(7),
            hash: [0xab; 32],
        };
        let witness = Witness::open(&path).unwrap();
        assert_eq!(
            (witness.known("one"), witness.knows_a_store()),
            (None, false)
        );
        witness.write("one", end);
        let again = Witness::open(&path).unwrap();
        assert!(again.knows_a_store());
        assert_eq!(again.home(), witness.home());
        assert_eq!(again.known("one"), Some(end));
        assert_eq!(again.known("two"), None);
        let behind = End {
            last: Position(6),
            ..end
        };
        assert!(matches!(
            again.check("one", behind),
            Err(OpenError::Behind { .. })
        ));
        again.check("one", end).unwrap();
        again.check("two", behind).unwrap();

        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Witness::open(&path), Err(OpenError::File { .. })));
    }
}
