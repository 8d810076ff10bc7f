//! A configuration as far as it can be read, and all that is wrong with it: what a start
//! would find around it is looked for in spite of that, so that everything is told at once.

use std::collections::BTreeSet;

use super::Config;
use crate::settings::Settings;

/// What is told of one setting: nobody reads more, and its value may be as long as it likes.
const PROBLEMS_MAX: usize = 16;

/// A configuration, and what is wrong with it.
pub(crate) struct Draft<'a> {
    /// Where a setting cannot be taken it has the default.
    pub(crate) config: Config,
    pub(super) reader: Reader<'a>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told("read the configuration"))]
pub(crate) struct ConfigFaults(pub(crate) Vec<String>);

/// Reads settings one by one, and gathers what is wrong.
pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) faults: Vec<String>,
    /// The settings that something is wrong with.
    wrong: BTreeSet<String>,
}

impl ConfigFaults {
    /// All of it, as the reason why that was only `attempted`.
    pub(crate) fn told(&self, attempted: &str) -> String {
        let count = match self.0.len() {
            1 => "one thing".to_owned(),
            n => format!("{n} things"),
        };
        format!(
            "{attempted}: {count} to correct before anything is started\n  - {}",
            self.0.join("\n  - ")
        )
    }
}

impl Draft<'_> {
    /// What is wrong, a sentence each, and the configuration, which is not to be run with
    /// unless that is nothing.
    pub(crate) fn into_parts(self) -> (Vec<String>, Config) {
        (self.reader.faults, self.config)
    }

    /// Whether what these are to be is known: nothing is wrong with them, and none may stand
    /// in what could not be read.
    pub(crate) fn knows(&self, keys: &[&str]) -> bool {
        self.reader.knows(keys)
    }

    /// Where a setting stands.
    pub(crate) fn place(&self, key: &str) -> &str {
        self.reader.place(key)
    }

    /// As [`Settings::may_hide`].
    pub(crate) fn may_hide(&self, key: &str) -> bool {
        self.reader.settings.may_hide(key)
    }

    /// The configuration, if nothing is wrong with it.
    pub(super) fn finish(self) -> Result<Config, ConfigFaults> {
        self.reader.finish(self.config)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            faults: settings.faults().to_vec(),
            wrong: BTreeSet::new(),
        }
    }

    /// What was made of the settings, if nothing is wrong with them.
    pub(super) fn finish<T>(self, made: T) -> Result<T, ConfigFaults> {
        match self.faults.is_empty() {
            true => Ok(made),
            false => Err(ConfigFaults(self.faults)),
        }
    }

    /// The setting if `parse` takes it; the fault says where it stands.
    pub(super) fn with<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.with_all(key, |value| parse(value).map_err(|problem| vec![problem]))
    }

    /// The same of a setting with which several things may be wrong, each a fault.
    pub(super) fn with_all<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Vec<String>>,
    ) -> Option<T> {
        let setting = self.settings.get(key)?;
        let mut problems = match parse(setting.value) {
            Ok(value) => return Some(value),
            Err(problems) => problems,
        };
        if let Some(untold @ 1..) = problems.len().checked_sub(PROBLEMS_MAX) {
            problems.truncate(PROBLEMS_MAX);
            problems.push(format!("{untold} more things are wrong with it"));
        }
        self.wrong.insert(key.to_owned());
        let from = setting.from;
        let faults = problems.iter().map(|it| format!("{key} ({from}): {it}"));
        self.faults.extend(faults);
        None
    }

    /// As [`Draft::knows`].
    pub(super) fn knows(&self, keys: &[&str]) -> bool {
        !(keys.iter()).any(|it| self.wrong.contains(*it) || self.settings.may_hide(it))
    }

    /// Where a setting stands.
    pub(super) fn place(&self, key: &str) -> &'a str {
        let setting = self.settings.get(key);
        setting.map_or("the default", |setting| setting.from)
    }

    /// Whether a setting is nowhere, as far as all has been read.
    pub(super) fn is_missing(&self, key: &str) -> bool {
        self.settings.get(key).is_none() && !self.settings.may_hide(key)
    }

    /// A setting that is nowhere, and is needed.
    pub(super) fn missing(&mut self, key: &str, wanted: &str) {
        self.wrong.insert(key.to_owned());
        self.faults.push(format!("{key} is not set: {wanted}"));
    }
}
