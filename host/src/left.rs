//! What a release ran with when another took its place: the configuration's way back.
//!
//! `etc/` is changed for a release to come, and stands changed when that is rolled back. So an
//! upgrade that is about to switch writes into `data/configuration.json` what the files said
//! that the release before runs with, and a digest of what they say by then. **While they
//! still say that, the release that was left runs with what it ran with**, however it comes to
//! rule again: a process that died, an operator's word, a breach. What is changed behind the
//! switch is an operator's word for what comes, and holds from the next start or reload on;
//! but a start that an upgrade's end makes is not kept from coming up by a fault in it.
//!
//! It is forgotten when the host has started with `etc/` as it stands: what such a process
//! began to work with, another store for one, is not taken back unasked.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use host_journal::files;
use host_model::Version;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::settings::files::{Files, Texts};

/// Of the file, which holds what may be secret.
const MODE: u32 = 0o600;

/// `data/configuration.json`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Left(BTreeMap<Version, Leave>);

/// That a release was left.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Leave {
    /// What the files said that it ran with.
    ran_with: Texts,
    /// Digest of that.
    digest: String,
    /// Digest of what they said at the switch.
    at_the_switch: String,
    /// Whether the upgrade that left it has not ended.
    under_way: bool,
}

/// It holds secrets.
impl std::fmt::Debug for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Leave");
        shown.field("under_way", &self.under_way);
        shown.finish_non_exhaustive()
    }
}

impl Leave {
    /// Whether the files were changed before the switch.
    fn is_another(&self) -> bool {
        self.digest != self.at_the_switch
    }
}

impl Left {
    /// What the file says; nothing where there is none.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what to do, in a sentence.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |problem: String| {
            format!(
                "{} cannot be read: {problem}; remove it, and etc/ holds as it stands",
                path.display()
            )
        };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(wrong(e.to_string())),
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        if self.0.is_empty() {
            return match fs::remove_file(path) {
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        files::replace(path, &text, MODE)
    }

    /// What `release` is to run with in place of the files as they are `now`, because they say
    /// what they said when it was left, and it ran with something else.
    pub(crate) fn instead(&self, release: &Version, now: &Files) -> Option<Files> {
        let leave = self.0.get(release).filter(|leave| leave.is_another())?;
        let says_the_same = leave.at_the_switch == now.digest();
        now.saying(&leave.ran_with, release)
            .filter(|_| says_the_same)
    }

    /// What `release` ran with, if it was left by an upgrade that has not ended; `anyhow`: or
    /// by any.
    pub(crate) fn behind(&self, release: &Version, now: &Files, anyhow: bool) -> Option<Files> {
        let leave = self.0.get(release)?;
        let is_wanted = anyhow || leave.under_way;
        now.saying(&leave.ran_with, release).filter(|_| is_wanted)
    }

    /// What `release` goes back to while the process runs that left it.
    pub(crate) fn way_back(&self, release: &Version, now: &Files) -> Option<Files> {
        self.behind(release, now, false)
            .or_else(|| self.instead(release, now))
    }

    fn leave(&mut self, release: &Version, files: &Files, now: &Files) {
        // It was read to be run with, and so it is text.
        let Some(ran_with) = files.texts() else {
            return;
        };
        let leave = Leave {
            ran_with,
            digest: files.digest(),
            at_the_switch: now.digest(),
            under_way: true,
        };
        self.0.insert(release.clone(), leave);
    }

    /// A release of which something is kept runs with the files as they are `now`.
    fn settle(&mut self, release: &Version, now: &Files, texts: &Texts) {
        if let Some(leave) = self.0.get_mut(release) {
            leave.ran_with = texts.clone();
            leave.digest = now.digest();
            leave.at_the_switch = now.digest();
        }
    }

    /// No upgrade is under way. What was not changed for it is nothing to go back to.
    fn rest(&mut self) {
        self.0.retain(|_, leave| leave.is_another());
        for leave in self.0.values_mut() {
            leave.under_way = false;
        }
    }
}

/// What the files said that the release runs with that rules, and what releases before it did.
#[derive(Debug)]
pub(crate) struct InForce {
    path: PathBuf,
    root: PathBuf,
    env_file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    ruling: Version,
    files: Files,
    left: Left,
}

impl InForce {
    /// In a process in which `ruling` was started with `files`.
    ///
    /// # Errors
    ///
    /// What is kept cannot be written.
    pub(crate) fn start(
        (root, env_file, path): (PathBuf, Option<PathBuf>, PathBuf),
        ruling: Version,
        files: Files,
        mut left: Left,
    ) -> io::Result<Self> {
        // A way back leads to what this process was started with.
        let now = Files::read(&root, env_file.as_deref());
        let before = left.clone();
        if left.instead(&ruling, &now).is_none()
            && let Some(texts) = files.texts().filter(|_| files.digest() == now.digest())
        {
            left.settle(&ruling, &now, &texts);
        }
        if left != before {
            left.write(&path)?;
        }
        Ok(Self {
            path,
            root,
            env_file,
            state: Mutex::new(State {
                ruling,
                files,
                left,
            }),
        })
    }

    fn now(&self) -> Files {
        Files::read(&self.root, self.env_file.as_deref())
    }

    /// Changes what is kept, durably.
    fn change(&self, state: &mut State, change: impl FnOnce(&mut Left)) -> Result<(), String> {
        let mut left = state.left.clone();
        change(&mut left);
        if left == state.left {
            return Ok(());
        }
        left.write(&self.path)
            .map_err(|e| format!("write {}: {e}", self.path.display()))?;
        state.left = left;
        Ok(())
    }

    /// An upgrade is about to leave `release`: from now on a way back brings back what it runs
    /// with. Of a release that does not rule here, for the host was started with another,
    /// nothing is known.
    ///
    /// # Errors
    ///
    /// It cannot be written. Nothing is to be switched, then.
    pub(crate) fn leave(&self, release: &Version) -> Result<(), String> {
        let now = self.now();
        let mut state = self.state.lock();
        if state.ruling != *release {
            return Ok(());
        }
        let files = state.files.clone();
        self.change(&mut state, |left| left.leave(release, &files, &now))
    }

    /// Another release rules, with what it ran with where a way leads back to it.
    pub(crate) fn rules(&self, release: &Version) {
        let now = self.now();
        let mut state = self.state.lock();
        if state.ruling != *release {
            state.files = state.left.way_back(release, &now).unwrap_or(now);
            state.ruling = release.clone();
        }
    }

    /// The upgrade that was under way has ended, and the release rules that did before.
    pub(crate) fn came_back(&self) {
        let mut state = self.state.lock();
        told(self.change(&mut state, Left::rest));
    }

    /// A release is permanent. What is kept of those above it no way back leads to.
    pub(crate) fn permanent(&self, release: &Version) {
        let mut state = self.state.lock();
        told(self.change(&mut state, |left| {
            left.rest();
            left.0.retain(|version, _| version <= release);
        }));
    }

    /// What was read anew is in force for `releases`, if `prepare` goes well.
    ///
    /// # Errors
    ///
    /// That of `prepare`, or why what is kept cannot be written. All is as before, then.
    pub(crate) fn reread<T>(
        &self,
        releases: &[Version],
        prepare: impl FnOnce() -> Result<T, Vec<String>>,
    ) -> Result<T, Vec<String>> {
        let now = self.now();
        let mut state = self.state.lock();
        let before = state.clone();
        let texts = now.texts();
        let texts = texts.ok_or_else(|| vec!["etc/ changed while it was read".to_owned()])?;
        let written = self.change(&mut state, |left| {
            for release in releases {
                left.settle(release, &now, &texts);
            }
        });
        written.map_err(|why| vec![why])?;
        state.files = now;
        prepare().inspect_err(|_| {
            let back = before.left.clone();
            told(self.change(&mut state, |left| *left = back));
            *state = before;
        })
    }

    /// The host is ready. What was kept before is of no use to it, but for what it was
    /// started with in place of `etc/`; all of it is, where an upgrade is still on its way back.
    pub(crate) fn is_ready(&self, is_going_back: bool) {
        if is_going_back {
            return;
        }
        let now = self.now();
        let mut state = self.state.lock();
        let State { ruling, files, .. } = state.clone();
        told(self.change(&mut state, |left| {
            left.rest();
            let is_kept = files.digest() != now.digest();
            left.0.retain(|version, _| is_kept && *version == ruling);
        }));
    }
}

/// What could not be written is told of: nothing of what is in force depends on it, only what
/// a start would find.
fn told(written: Result<(), String>) {
    if let Err(error) = written {
        tracing::error!(
            error,
            "what is kept of the configuration is not up to date: a start may find what it was before"
        );
    }
}

#[cfg(test)]
mod tests;
