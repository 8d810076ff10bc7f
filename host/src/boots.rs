//! Which release a start boots, and how often it has tried.
//!
//! A start boots the permanent release, but for two cases. The home's **own release** (see
//! [`Home::own_release`]) is another one than last came up here: whoever laid that home
//! out, as a new container image on an old volume, wants it. And a release that has
//! **never come up** after it was made permanent or found to be the home's own, though it
//! was tried [`ATTEMPTS_MAX`] times: then the one before it boots, where that is installed and
//! a way leads back, and in turn with it until one of the two comes up. Where not, what is
//! wanted is tried on.
//!
//! An attempt is counted before it is made, since a process that dies counts nothing, and
//! is taken back where it ends by no doing of the release: see [`Attempt`].
//!
//! What is decided is decided by [`Boots::choose`], a pure function over what
//! `data/boots.json` holds and what is installed. The store has the last word about which
//! release is permanent.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use host_journal::files;
use host_model::Version;
use host_model::limits::ATTEMPTS_MAX;
use host_upgrade::{Unpacked, plan_at_start};
use serde::{Deserialize, Serialize};

use crate::home::{Home, HomeError};

/// Tells the next program that this attempt has been counted, and of which release.
pub(crate) const COUNTED: &str = "HOST_ATTEMPT_COUNTED";

/// `data/boots.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Boots {
    /// The home's own release when one last came up here, or was given up.
    own: Option<Version>,
    /// The release that last came up.
    proven: Option<Version>,
    /// The release that was permanent before the one that is.
    before: Option<Version>,
    /// Attempts to start a release that has not come up since.
    attempts: BTreeMap<Version, u32>,
    /// The release that the last start fell back to, until one comes up.
    fell_back: Option<Version>,
}

/// What a start boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) release: Version,
    pub(crate) why: Why,
}

/// Why it boots that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is permanent.
    Permanent,
    /// It is the home's own, and was not before.
    Own,
    /// The release `from` would boot, and did not come up.
    FellBack {
        /// The other.
        from: Version,
    },
}

/// The release whose attempt this process is part of, if whoever has started it has
/// counted that.
pub(crate) fn counted() -> Option<Version> {
    std::env::var(COUNTED).ok()?.parse().ok()
}

impl Boots {
    /// Decides on a start. `first` boots where nothing was ever permanent; `can_boot` says
    /// whether another release than the one that is wanted could.
    fn choose(
        &self,
        permanent: Option<&Version>,
        own: Option<&Version>,
        first: &Version,
        can_boot: impl Fn(&Version) -> bool,
    ) -> Choice {
        let is_new = |own: &&Version| Some(*own) != self.own.as_ref();
        let wanted = match own.filter(is_new) {
            Some(own) if permanent != Some(own) => (own, Why::Own),
            _ => (permanent.unwrap_or(first), Why::Permanent),
        };
        let instead = match wanted.1 {
            Why::Own => permanent,
            _ => self.before.as_ref(),
        };
        let instead = instead.filter(|_| self.has_failed(wanted.0));
        let was_just = |it: &Version| self.fell_back.as_ref() == Some(it);
        let instead = instead.filter(|it| !self.has_failed(it) && !was_just(it));
        let (release, why) = match instead.filter(|it| can_boot(it)) {
            Some(instead) => {
                let from = wanted.0.clone();
                (instead, Why::FellBack { from })
            }
            None => wanted,
        };
        Choice {
            release: release.clone(),
            why,
        }
    }

    /// Whether it was tried often enough.
    pub(crate) fn has_failed(&self, version: &Version) -> bool {
        self.attempts_at(version) >= ATTEMPTS_MAX
    }

    fn attempts_at(&self, version: &Version) -> u32 {
        self.attempts.get(version).copied().unwrap_or(0)
    }
}

/// An attempt to start a release, which is counted. Dropped, it is taken back: a wrong
/// configuration, a port that is taken or a store that is away says nothing against the
/// release. It stays counted where the process dies, or the release is to
/// [`blame`](Self::blame).
#[derive(Debug)]
pub(crate) struct Attempt {
    home: Home,
    /// None: nothing was counted.
    release: Option<Version>,
    blamed: AtomicBool,
}

impl Attempt {
    /// The one that whoever has started this program has counted, if any.
    pub(crate) fn inherited(home: &Home) -> Self {
        Self {
            home: home.clone(),
            release: counted(),
            blamed: AtomicBool::new(false),
        }
    }

    /// Goes on as one to start `release`.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn at(self, release: &Version, why: &Why) -> Result<Self, HomeError> {
        if self.release.as_ref() == Some(release) {
            return Ok(self);
        }
        self.home.count_attempt(release, why)?;
        Ok(Self {
            home: self.home.clone(),
            release: Some(release.clone()),
            blamed: AtomicBool::new(false),
        })
    }

    /// Whether what ends the start from now on is the release's own doing: its code runs.
    pub(crate) fn blame(&self, release: bool) {
        self.blamed.store(release, Ordering::SeqCst);
    }

    /// Another process goes on with it.
    pub(crate) fn hand_on(self) {
        self.blame(true);
    }

    /// Takes it back, unless the release is to blame.
    pub(crate) fn end(&self) {
        let Some(release) = self.release.as_ref() else {
            return;
        };
        if self.blamed.swap(true, Ordering::SeqCst) || std::thread::panicking() {
            return;
        }
        if let Err(error) = self.home.take_attempt_back(release) {
            // A full disk may not take the line either.
            let line = format!("an attempt to start {release} could not be taken back: {error}");
            drop(writeln!(io::stderr(), "{line}"));
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end();
    }
}

impl Home {
    /// The release that a start boots, and why. `counted` is one whose attempt this start
    /// is: it has been counted, and is not over.
    ///
    /// # Errors
    ///
    /// [`HomeError`] where there is none to boot.
    pub(crate) fn choice(&self, counted: Option<&Version>) -> Result<Choice, HomeError> {
        let permanent = self.booked_permanent()?;
        let own = self.own_release()?;
        let first = match (&permanent, &own) {
            (Some(version), _) | (None, Some(version)) => version.clone(),
            (None, None) => self.lowest()?,
        };
        let mut boots = self.boots()?;
        if let Some(attempts) = counted.and_then(|it| boots.attempts.get_mut(it)) {
            // However many were before it: this one has begun.
            *attempts = attempts.saturating_sub(1).min(ATTEMPTS_MAX - 1);
        }
        boots.fell_back = boots.fell_back.filter(|it| Some(it) != counted);
        let (permanent, own) = (permanent.as_ref(), own.as_ref());
        Ok(boots.choose(permanent, own, &first, |it| self.can_boot(it, permanent)))
    }

    /// Whether the release `version` is installed, and a way leads to it from the permanent
    /// one, which the store is of.
    fn can_boot(&self, version: &Version, permanent: Option<&Version>) -> bool {
        let releases = self.releases();
        let Ok(to) = releases.read(version) else {
            return false;
        };
        permanent.filter(|it| *it != version).is_none_or(|from| {
            let appups = releases.appups(&[version, from]);
            let leads = |from: Unpacked| {
                // What has run here the store knows, which is not read yet.
                let has_run = |_: &str, _: &Version| true;
                plan_at_start(&from.manifest, &to.manifest, &appups, &has_run).is_ok()
            };
            releases.read(from).is_ok_and(leads)
        })
    }

    /// As [`Home::choice`], with the release itself.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn booting(&self, counted: Option<&Version>) -> Result<(Unpacked, Why), HomeError> {
        let Choice { release, why } = self.choice(counted)?;
        Ok((self.releases().read(&release)?, why))
    }

    /// Takes down that `version` is about to be started, and `why`: what came up last is to
    /// blame for nothing, and is not counted.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn count_attempt(&self, version: &Version, why: &Why) -> Result<(), HomeError> {
        let before = self.boots()?;
        let mut boots = before.clone();
        if boots.proven.as_ref() != Some(version) {
            *boots.attempts.entry(version.clone()).or_default() += 1;
        }
        let fell_back = matches!(why, Why::FellBack { .. });
        boots.fell_back = fell_back.then(|| version.clone());
        match boots == before {
            true => Ok(()),
            false => self.set_boots(&boots),
        }
    }

    /// Takes an attempt back that ended without saying anything against the release.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    fn take_attempt_back(&self, version: &Version) -> Result<(), HomeError> {
        let mut boots = self.boots()?;
        match boots.attempts.get_mut(version) {
            Some(attempts) => *attempts = attempts.saturating_sub(1),
            None => return Ok(()),
        }
        self.set_boots(&boots)
    }

    /// The release `version` has come up.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn came_up(&self, version: &Version) -> Result<(), HomeError> {
        let before = self.boots()?;
        let boots = Boots {
            own: self.own_release()?.or(before.own.clone()),
            proven: Some(version.clone()),
            attempts: BTreeMap::new(),
            before: before.before.clone(),
            fell_back: None,
        };
        match boots == before {
            true => Ok(()),
            false => self.set_boots(&boots),
        }
    }

    /// The home's own release is not wanted any more: the next start boots the permanent
    /// one.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn give_own_up(&self) -> Result<(), HomeError> {
        let mut boots = self.boots()?;
        boots.own = self.own_release()?;
        self.set_boots(&boots)
    }

    /// Another release was permanent before the one that now is.
    ///
    /// # Errors
    ///
    /// [`HomeError`]
    pub(crate) fn note_before(&self, before: Version) -> Result<(), HomeError> {
        let mut boots = self.boots()?;
        boots.before = Some(before);
        self.set_boots(&boots)
    }

    pub(crate) fn boots(&self) -> Result<Boots, HomeError> {
        let file = self.data_dir().join("boots.json");
        let wrong = |problem: String| HomeError::Boots {
            file: file.clone(),
            problem,
        };
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| wrong(e.to_string())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Boots::default()),
            Err(source) => Err(HomeError::Io { path: file, source }),
        }
    }

    fn set_boots(&self, boots: &Boots) -> Result<(), HomeError> {
        let path = self.data_dir().join("boots.json");
        let text = serde_json::to_vec_pretty(boots).expect("versions and numbers are JSON");
        fs::create_dir_all(self.data_dir())
            .and_then(|()| files::replace(&path, &text, 0o644))
            .map_err(|source| HomeError::Io { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::tests::{home, put_release};

    fn v(minor: u64) -> Version {
        Version::new(0, minor, 0)
    }

    fn boots(own: Option<u64>, before: Option<u64>, failed: &[u64]) -> Boots {
        Boots {
            own: own.map(v),
            proven: None,
            before: before.map(v),
            attempts: failed.iter().map(|it| (v(*it), ATTEMPTS_MAX)).collect(),
            fell_back: None,
        }
    }

    /// 0.1.0 came up, and then 0.2.0 was made permanent.
    fn home_of_two() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        for minor in [1, 2] {
            put_release(dir.path(), &v(minor).to_string(), "");
            home.set_permanent(&v(minor)).unwrap();
            if minor == 1 {
                home.came_up(&v(1)).unwrap();
            }
        }
        (dir, home)
    }

    #[test]
    fn the_table_of_what_a_start_boots() {
        let from = |minor| Why::FellBack { from: v(minor) };
        for (boots, permanent, own, release, why) in [
            // Nothing was ever permanent.
            (boots(None, None, &[]), None, None, 9, Why::Permanent),
            (boots(None, None, &[]), None, Some(2), 2, Why::Own),
            // A home with several releases has none of its own.
            (boots(None, None, &[]), Some(1), None, 1, Why::Permanent),
            // A new one, newer or older; one that has been seen; that of the store.
            (boots(Some(1), None, &[]), Some(1), Some(2), 2, Why::Own),
            (boots(Some(2), None, &[]), Some(2), Some(1), 1, Why::Own),
            (
                boots(Some(1), None, &[]),
                Some(2),
                Some(1),
                2,
                Why::Permanent,
            ),
            (boots(None, None, &[]), Some(2), Some(2), 2, Why::Permanent),
            // It does not come up: the permanent one does, or the one before that.
            (boots(Some(1), None, &[2]), Some(1), Some(2), 1, from(2)),
            (boots(None, Some(1), &[2]), Some(2), None, 1, from(2)),
            // Neither does: what is wanted is tried on.
            (
                boots(None, Some(1), &[1, 2]),
                Some(2),
                None,
                2,
                Why::Permanent,
            ),
            (boots(None, None, &[2]), Some(2), None, 2, Why::Permanent),
        ] {
            let (permanent, own) = (permanent.map(v), own.map(v));
            let choice = boots.choose(permanent.as_ref(), own.as_ref(), &v(9), |_| true);
            let release = v(release);
            assert_eq!(choice, Choice { release, why }, "{boots:?}");
        }
    }

    #[test]
    fn what_is_wanted_is_tried_on_where_no_other_could_boot() {
        for (boots, permanent, own, release, why) in [
            (boots(None, Some(1), &[2]), 2, None, 2, Why::Permanent),
            (boots(Some(1), None, &[2]), 1, Some(2), 2, Why::Own),
        ] {
            let (permanent, own) = (v(permanent), own.map(v));
            let choice = boots.choose(Some(&permanent), own.as_ref(), &v(9), |_| false);
            let release = v(release);
            assert_eq!(choice, Choice { release, why }, "{boots:?}");
        }
    }

    #[test]
    fn what_is_wanted_and_what_is_fallen_back_to_are_tried_in_turn() {
        let (_dir, home) = home_of_two();
        for _ in 0..ATTEMPTS_MAX {
            home.count_attempt(&v(2), &Why::Permanent).unwrap();
        }
        for _ in 0..2 {
            let back = home.choice(None).unwrap();
            assert_eq!(back.why, Why::FellBack { from: v(2) });
            home.count_attempt(&back.release, &back.why).unwrap();
            // It has come up before, and is not counted: all the same it is not the next one.
            assert_eq!(home.choice(Some(&v(1))).unwrap().release, v(1));
            let again = home.choice(None).unwrap();
            assert_eq!((&again.release, &again.why), (&v(2), &Why::Permanent));
            home.count_attempt(&again.release, &again.why).unwrap();
            assert_eq!(home.choice(Some(&v(2))).unwrap().release, v(2));
        }
        home.came_up(&v(1)).unwrap();
        assert_eq!(home.boots().unwrap().fell_back, None);
    }

    #[test]
    fn attempts_are_counted_until_the_release_comes_up() {
        let (_dir, home) = home_of_two();
        // One that has come up is to blame for nothing.
        for _ in 0..ATTEMPTS_MAX {
            home.count_attempt(&v(1), &Why::Permanent).unwrap();
        }
        assert!(!home.boots().unwrap().has_failed(&v(1)));
        for _ in 0..ATTEMPTS_MAX {
            assert_eq!(home.choice(None).unwrap().release, v(2));
            home.count_attempt(&v(2), &Why::Permanent).unwrap();
            // Who carries the attempt out is not the one after it.
            assert_eq!(home.choice(Some(&v(2))).unwrap().release, v(2));
        }
        let choice = home.choice(None).unwrap();
        assert_eq!(choice.release, v(1));
        assert_eq!(choice.why, Why::FellBack { from: v(2) });
        home.take_attempt_back(&v(2)).unwrap();
        assert_eq!(home.choice(None).unwrap().release, v(2));
        home.came_up(&v(2)).unwrap();
        home.count_attempt(&v(2), &Why::Permanent).unwrap();
        assert!(!home.boots().unwrap().has_failed(&v(2)));
    }

    #[test]
    fn a_homes_own_release_is_the_only_one_or_the_one_that_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        put_release(dir.path(), "0.2.0", "");
        assert_eq!(home.own_release().unwrap(), Some(v(2)));
        put_release(dir.path(), "0.1.0", "");
        assert_eq!(home.own_release().unwrap(), None);
        let named = dir.path().join("releases/own");
        fs::write(&named, "0.2.0\n").unwrap();
        assert_eq!(home.own_release().unwrap(), Some(v(2)));
        assert_eq!(home.releases().versions().unwrap().len(), 2);
        fs::write(&named, "the newest").unwrap();
        assert!(home.own_release().is_err());
    }
}
