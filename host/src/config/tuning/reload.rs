//! The configuration read anew, for the releases whose own may be in force.

use std::collections::BTreeMap;

use host_model::Version;
use host_model::control::{Applies, ConfigChange};
use host_upgrade::Releases;

use super::{Resolved, State, Tuner, Tuning};

impl Tuner {
    /// Reads the configuration anew, whole, as a start does, and lets take effect what can
    /// while the host runs. What else is another than at the start is named each time.
    /// `toward` is the release that an upgrade under way goes to: once it rules, what was
    /// read anew is to be in force still. `prepare` is for what lies elsewhere, and is done if
    /// nothing else is wrong; it can ask whether the files that settings name are those of the
    /// start. Blocking.
    ///
    /// # Errors
    ///
    /// Everything that is wrong. Then the old one is in force, whole.
    pub(crate) fn reload<T>(
        &self,
        releases: &Releases,
        toward: Option<&Version>,
        prepare: impl FnOnce(&dyn Fn(&[&str]) -> bool) -> Result<T, Vec<String>>,
    ) -> Result<(Vec<ConfigChange>, T), Vec<String>> {
        let in_play = self.state.lock().in_play(toward);
        let files = self.in_force.now();
        let mut read = BTreeMap::new();
        let mut problems: Vec<String> = Vec::new();
        for version in in_play {
            let release = releases.read(&version).map_err(|e| vec![e.to_string()]);
            match release.and_then(|release| self.read(&release, true)) {
                Ok(found) => _ = read.insert(version, found),
                // What is wrong in the home's own files is so for each of them.
                Err(mut found) => {
                    found.retain(|problem| !problems.contains(problem));
                    if toward == Some(&version) {
                        let of_release = |it| format!("release {version}, which is to rule: {it}");
                        found = found.into_iter().map(of_release).collect();
                    }
                    problems.extend(found);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut state = self.state.lock();
        if !state.in_play(None).iter().all(|it| read.contains_key(it)) {
            let why = "another release rules since it was begun; reload again";
            return Err(vec![why.to_owned()]);
        }
        let now = read.get(&state.now);
        let is_same =
            |keys: &[&str]| now.is_some_and(|(now, _)| state.started.names_the_same(now, keys));
        let releases: Vec<_> = read.keys().cloned().collect();
        let prepared = self
            .in_force
            .reread(files, &releases, || prepare(&is_same))?;
        let (changes, tuning) = state.replace(read);
        if let Some(tuning) = tuning {
            self.apply(&tuning);
        }
        Ok((changes, prepared))
    }
}

impl State {
    /// The releases whose configuration is in force, or may be at once.
    fn in_play(&self, toward: Option<&Version>) -> Vec<Version> {
        let others = self.back.iter().chain(toward);
        let others = others.filter(|it| **it != self.now).cloned();
        std::iter::once(self.now.clone()).chain(others).collect()
    }

    /// Puts what was read in the place of what there was. Returns what is another than
    /// before or than at the start, and the tuning that is to take effect, if it is another.
    fn replace(
        &mut self,
        read: BTreeMap<Version, (Resolved, Tuning)>,
    ) -> (Vec<ConfigChange>, Option<Tuning>) {
        let before = self.by_release.get(&self.now).cloned();
        self.by_release.extend(read);
        let (Some((old, old_tuning)), Some((new, tuning))) =
            (before, self.by_release.get(&self.now))
        else {
            return Default::default();
        };
        let now = (old.changes(new).into_iter())
            .filter(|it| it.applies == Applies::AtTheSwitch)
            .map(|it| ConfigChange {
                applies: Applies::Now,
                ..it
            });
        let later = (self.started.changes(new).into_iter())
            .filter(|it| it.applies == Applies::AfterARestart);
        let changes = now.chain(later).collect();
        let tuning = (*tuning != old_tuning).then(|| tuning.clone());
        (changes, tuning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn read(rows: &[(&str, &str)]) -> (Resolved, Tuning) {
        let rows = rows.iter();
        let rows = rows.map(|(key, value)| (key.to_string(), value.to_string(), "x".to_owned()));
        let resolved = Resolved::of(&Settings::of_rows(rows), "");
        let tuning = Tuning::of_resolved(&resolved).unwrap();
        (resolved, tuning)
    }

    fn shown(changes: &[ConfigChange]) -> Vec<String> {
        let change = |it: &ConfigChange| format!("{} {}", it.key, it.applies.name());
        changes.iter().map(change).collect()
    }

    #[test]
    fn what_can_change_does_and_what_cannot_is_named_until_a_restart() {
        let (old, new) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        let first = read(&[("PORT", "1"), ("RUST_LOG", "info")]);
        let mut state = State {
            now: new.clone(),
            back: Some(old.clone()),
            started: first.0.clone(),
            by_release: [(old.clone(), first.clone()), (new.clone(), first)].into(),
        };
        assert_eq!(state.in_play(None), [new.clone(), old.clone()]);
        assert_eq!(state.in_play(Some(&new)), state.in_play(None));
        let then = read(&[("PORT", "2"), ("RUST_LOG", "debug")]);
        let all: BTreeMap<_, _> = [(old.clone(), then.clone()), (new, then.clone())].into();
        let (changes, tuning) = state.replace(all.clone());
        assert_eq!(shown(&changes), ["RUST_LOG now", "PORT after a restart"]);
        assert_eq!(tuning, Some(then.1.clone()));
        // A way back does not bring back what is no longer there.
        assert_eq!(state.by_release[&old].1, then.1);
        let (changes, tuning) = state.replace(all);
        assert_eq!(shown(&changes), ["PORT after a restart"]);
        assert_eq!(tuning, None);
    }

    #[test]
    fn what_was_read_anew_before_a_switch_is_in_force_behind_it() {
        let (old, new) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        let first = read(&[("RUST_LOG", "info")]);
        let mut state = State {
            now: old.clone(),
            back: None,
            started: first.0.clone(),
            // Both were looked at when the upgrade began.
            by_release: [(old.clone(), first.clone()), (new.clone(), first)].into(),
        };
        let in_play = state.in_play(Some(&new)).into_iter();
        let then = read(&[("RUST_LOG", "debug")]);
        state.replace(in_play.map(|it| (it, then.clone())).collect());
        state.go_to(&new);
        assert_eq!(state.by_release[&state.now].1, then.1);
    }
}
