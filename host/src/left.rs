//! What a release ran with when another took its place: the configuration's way back.
//!
//! `etc/` is changed for a release to come, and stands changed when that is rolled back. So an
//! upgrade that has been verified writes into `data/configuration.json` what the files said
//! that the release before runs with, and a digest of what they say by then, which is what the
//! next one runs with. **While they still say that, the release that was left runs with what
//! it ran with**, however it comes to rule again: a process that died, an operator's word, a
//! breach. What is changed later is an operator's word for what comes, and holds from the next
//! start or reload on; but a start that an upgrade's end makes is not kept from coming up by a
//! fault in it.
//!
//! It is forgotten when the host has started with `etc/` as it stands: what such a process
//! began to work with, another store for one, is not taken back unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use host_journal::files;
use host_model::Version;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::settings::files::{Files, Texts};

/// Of what was read by two, and is not the same.
const CHANGED: &str = "etc/ was changed while it was read; ask again";

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
    /// Digest of what they said by then, for the next one.
    for_the_next: String,
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
    /// Whether the files were changed for the next release.
    fn is_another(&self) -> bool {
        self.digest != self.for_the_next
    }

    fn settle(&mut self, now: &Files, texts: &Texts) {
        self.ran_with = texts.clone();
        self.digest = now.digest();
        self.for_the_next = now.digest();
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
                Ok(()) => files::sync_folder_of(path),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                Err(e) => Err(e),
            };
        }
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        files::replace(path, &text, MODE)
    }

    /// What `release` is to run with in place of the files as they are `now`, because nobody
    /// has changed them since it was left, and it ran with something else.
    pub(crate) fn instead(&self, release: &Version, now: &Files) -> Option<Files> {
        let leave = self.0.get(release).filter(|leave| leave.is_another())?;
        let is_as_it_was = self.stands_for(now).contains(&*leave.for_the_next);
        now.saying(&leave.ran_with, release)
            .filter(|_| is_as_it_was)
    }

    /// Digests of what the files as they are `now` have stood for, release by release: those
    /// of each one's files, of which the next has left them unchanged or changed them to these.
    fn stands_for(&self, now: &Files) -> BTreeSet<String> {
        let mut stands_for = BTreeSet::from([now.digest()]);
        // Each pass finds one more, or there is none.
        for _ in &self.0 {
            for leave in self.0.values() {
                if stands_for.contains(&leave.for_the_next) {
                    stands_for.insert(leave.digest.clone());
                }
            }
        }
        stands_for
    }

    /// What `release` ran with, if it was left by an upgrade that has not ended; `anyhow`: or
    /// by any.
    pub(crate) fn behind(&self, release: &Version, now: &Files, anyhow: bool) -> Option<Files> {
        let leave = self.0.get(release)?;
        let is_wanted = anyhow || leave.under_way;
        now.saying(&leave.ran_with, release).filter(|_| is_wanted)
    }

    /// `release` is left, whose files are `files`; those of the home were as `found` for the
    /// next one.
    fn leave(&mut self, release: &Version, files: &Files, found: &str) {
        self.keep(release, files, found, true);
    }

    /// `release` is come to, or come back to, and runs with `files` since those of the home
    /// were as `found`.
    fn come(&mut self, release: &Version, files: &Files, found: &str) {
        if files.digest() == found {
            self.0.remove(release);
        } else {
            self.keep(release, files, found, false);
        }
    }

    fn keep(&mut self, release: &Version, files: &Files, found: &str, under_way: bool) {
        // It was read to be run with, and so it is text.
        let Some(ran_with) = files.texts() else {
            return;
        };
        let leave = Leave {
            ran_with,
            digest: files.digest(),
            for_the_next: found.to_owned(),
            under_way,
        };
        self.0.insert(release.clone(), leave);
    }

    /// All of which something is kept run with the files as they are `now`.
    fn settle(&mut self, now: &Files, texts: &Texts) {
        for leave in self.0.values_mut() {
            leave.settle(now, texts);
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
    /// How it found the files of the home, if it was not started with them.
    found: Option<String>,
    /// What a release that an upgrade may go to would run with.
    looked: BTreeMap<Version, Looked>,
    /// The one that an upgrade goes to.
    next: Option<Version>,
    left: Left,
    /// What of that the file has.
    written: Left,
}

/// What was read when a release was looked at.
#[derive(Debug, Clone)]
struct Looked {
    /// Digest of the files of the home.
    found: String,
    /// Those, or what it ran with before in place of them.
    files: Files,
}

impl Looked {
    fn of(left: &Left, release: &Version, files: Files) -> Self {
        Self {
            found: files.digest(),
            files: left.instead(release, &files).unwrap_or(files),
        }
    }
}

impl State {
    /// No upgrade is under way.
    fn ended(&mut self) {
        self.looked.clear();
        self.next = None;
    }

    fn of(&self, release: &Version, now: Files) -> Looked {
        // While the process runs that left it, whatever the files say by now.
        let Some(ran_with) = self.left.behind(release, &now, false) else {
            let looked = self.looked.get(release).cloned();
            return looked.unwrap_or_else(|| Looked::of(&self.left, release, now));
        };
        Looked {
            found: now.digest(),
            files: ran_with,
        }
    }
}

impl InForce {
    /// In a process in which `ruling` was started with `files`. Nothing is written before it
    /// [`is_ready`](Self::is_ready).
    pub(crate) fn start(
        (root, env_file, path): (PathBuf, Option<PathBuf>, PathBuf),
        ruling: Version,
        files: Files,
        left: Left,
    ) -> Self {
        // A way back leads to what this process was started with.
        let now = Files::read(&root, env_file.as_deref());
        let written = left.clone();
        let mut left = left;
        if left.instead(&ruling, &now).is_none()
            && let Some(texts) = files.texts().filter(|_| files.digest() == now.digest())
            && let Some(leave) = left.0.get_mut(&ruling)
        {
            leave.settle(&now, &texts);
        }
        Self {
            path,
            root,
            env_file,
            state: Mutex::new(State {
                ruling,
                files,
                found: None,
                looked: BTreeMap::new(),
                next: None,
                left,
                written,
            }),
        }
    }

    /// The files as they are.
    pub(crate) fn now(&self) -> Files {
        Files::read(&self.root, self.env_file.as_deref())
    }

    /// What `release` runs with: that of the start or of the last reload, if it rules; what it
    /// ran with, if a way leads back to it; or what the files said when it was looked at.
    pub(crate) fn files_of(&self, release: &Version) -> Files {
        let state = self.state.lock();
        match state.ruling == *release {
            true => state.files.clone(),
            false => state.of(release, self.now()).files,
        }
    }

    /// What is kept is changed, and the file with it. It is changed for this process also
    /// where that cannot be written, which is tried again with the next change.
    fn change(&self, state: &mut State, change: impl FnOnce(&mut Left)) -> Result<(), String> {
        change(&mut state.left);
        if state.left == state.written {
            return Ok(());
        }
        let written = state.left.write(&self.path);
        written.map_err(|e| format!("write {}: {e}", self.path.display()))?;
        state.written = state.left.clone();
        Ok(())
    }

    /// `release` was looked at with these files, which are what an upgrade to it runs with.
    /// False if one is under way, which has read its own.
    ///
    /// # Errors
    ///
    /// They have changed meanwhile.
    pub(crate) fn looked(&self, release: &Version, files: Files) -> Result<bool, String> {
        if self.now() != files {
            return Err(CHANGED.to_owned());
        }
        let mut state = self.state.lock();
        if state.next.as_ref() == Some(release) {
            return Ok(false);
        }
        let looked = Looked::of(&state.left, release, files);
        state.looked.insert(release.clone(), looked);
        Ok(true)
    }

    /// An upgrade is about to leave `release` for `next`: from now on a way back brings back
    /// what it runs with. Of a release that does not rule here, for the host was started with
    /// another, nothing is known.
    ///
    /// # Errors
    ///
    /// It cannot be written. Nothing is to be switched, then.
    pub(crate) fn leave(&self, release: &Version, next: &Version) -> Result<(), String> {
        let mut state = self.state.lock();
        if state.ruling != *release {
            return Ok(());
        }
        let to = state.of(next, self.now());
        let (files, before) = (state.files.clone(), state.left.clone());
        let left = self.change(&mut state, |left| {
            left.leave(release, &files, &to.found);
            // A process that boots it finds what this one has, and not what led to that.
            if left.0.contains_key(next) {
                left.come(next, &to.files, &to.found);
            }
        });
        match &left {
            Ok(()) => state.next = Some(next.clone()),
            Err(_) => state.left = before,
        }
        left
    }

    /// Another release rules, with its own files.
    pub(crate) fn rules(&self, release: &Version) {
        let mut state = self.state.lock();
        if state.ruling != *release {
            let Looked { found, files } = state.of(release, self.now());
            state.found = Some(found);
            state.files = files;
            state.ruling = release.clone();
        }
    }

    /// The upgrade that was under way has ended, and the release rules that did before.
    pub(crate) fn came_back(&self) {
        let mut state = self.state.lock();
        state.ended();
        told(self.change(&mut state, Left::rest));
    }

    /// A release is permanent. What is kept of those above it no way back leads to.
    pub(crate) fn permanent(&self, release: &Version) {
        let mut state = self.state.lock();
        state.ended();
        let (files, found) = (state.files.clone(), state.found.clone());
        let found = found.filter(|_| state.ruling == *release);
        told(self.change(&mut state, |left| {
            if let Some(found) = found {
                left.come(release, &files, &found);
            }
            left.rest();
            left.0.retain(|version, _| version <= release);
        }));
    }

    /// What was read anew as `now` is in force for `releases`, and for all that a way leads
    /// back to, if `prepare` goes well; it finds the new files in force. No other release is to
    /// come to rule meanwhile.
    ///
    /// # Errors
    ///
    /// That of `prepare`, or why what is kept cannot be written, or that the files have changed
    /// meanwhile. All is as before, then.
    pub(crate) fn reread<T>(
        &self,
        now: Files,
        releases: &[Version],
        prepare: impl FnOnce() -> Result<T, Vec<String>>,
    ) -> Result<T, Vec<String>> {
        let texts = now.texts().filter(|_| self.now() == now);
        let texts = texts.ok_or_else(|| vec![CHANGED.to_owned()])?;
        let before = self.state.lock().clone();
        let put_back = || {
            let mut state = self.state.lock();
            let written = state.written.clone();
            *state = State { written, ..before };
            told(self.change(&mut state, |_| {}));
        };
        let written = {
            let mut state = self.state.lock();
            let found = now.digest();
            for release in releases {
                let looked = Looked {
                    found: found.clone(),
                    files: now.clone(),
                };
                state.looked.insert(release.clone(), looked);
            }
            (state.files, state.found) = (now.clone(), Some(found));
            self.change(&mut state, |left| left.settle(&now, &texts))
        };
        let prepared = written.map_err(|why| vec![why]).and_then(|()| prepare());
        if prepared.is_err() {
            put_back();
        }
        prepared
    }

    /// The host is ready. What was kept before is of no use to it, but for what it was
    /// started with in place of `etc/`; all of it is, where an upgrade is still on its way back.
    ///
    /// # Errors
    ///
    /// It cannot be written: a start might find what is not to be taken back.
    pub(crate) fn is_ready(&self, is_going_back: bool) -> Result<(), String> {
        if is_going_back {
            return Ok(());
        }
        let now = self.now();
        let mut state = self.state.lock();
        let State { ruling, files, .. } = state.clone();
        self.change(&mut state, |left| {
            left.rest();
            let is_kept = files.digest() != now.digest();
            left.0.retain(|version, _| is_kept && *version == ruling);
        })
    }
}

/// What could not be written is told of: this process knows it all the same, and a start would
/// find what was written before.
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
