//! A configuration as one release resolves it, and as another process reads it.
//!
//! Each release resolves its own: its program knows which settings it has, and what is
//! right for them. A host that runs asks the program of another release in a child, for
//! the same home and with the same environment, and compares. Secrets do not leave
//! either process: of each value goes a digest, salted for the two of them.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use host_cli::{Failure, Output};
use host_loader::{Digest, Said, said};
use host_model::Version;
use host_model::control::{Applies, ConfigChange, ConfigValue};
use host_upgrade::Unpacked;
use serde::{Deserialize, Serialize};

use super::Config;
use super::tuning::AT_THE_SWITCH;
use crate::launcher::Found;
use crate::notify::NOTIFY_SOCKET;
use crate::settings::{KEYS, Settings};

/// Names the salt for the child.
const SALT: &str = "HOST_CONFIG_SALT";

/// Set where the files are to be taken as they are, whatever is kept of the release.
const ANEW: &str = "HOST_CONFIG_ANEW";

/// How long a release's program may take over a few small files.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of what it may say.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a release makes of a home's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolved {
    /// Every setting that has a value.
    pub(crate) settings: Vec<Row>,
    /// Everything that is wrong, a sentence each.
    pub(crate) faults: Vec<String>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) key: String,
    /// As it may be shown.
    pub(crate) value: String,
    pub(crate) from: String,
    /// Whether it is a plugin's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_plugins: bool,
    /// Of the salt and the true value.
    digest: String,
}

/// What stands for a value that is not shown.
pub(super) const SECRET: &str = "<secret>";

/// As a value of the host's own may be shown.
pub(super) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    match key {
        "SECRET_KEY_BASE" | "SECRET_KEY_BASE_OLD" => SECRET,
        // It may hold a password.
        "DATABASE_URL" if !value.starts_with("sqlite:") => SECRET,
        _ => value,
    }
}

impl Resolved {
    /// What `settings` have, under a salt.
    pub(crate) fn of(settings: &Settings, salt: &str) -> Self {
        let row = |key: &str, is_secret: bool, is_plugins: bool| {
            let setting = settings.get(key)?;
            let value = match is_secret {
                true => SECRET,
                false => shown(key, setting.value),
            };
            Some(Row {
                key: key.to_owned(),
                value: value.to_owned(),
                from: setting.from.to_owned(),
                is_plugins,
                digest: Digest::of(format!("{salt}{}", setting.value).as_bytes()).to_string(),
            })
        };
        let own = KEYS.iter().filter_map(|key| row(key, false, false));
        let of_plugins = settings.declared().iter();
        let of_plugins = of_plugins.filter_map(|(key, it)| row(key, it.setting.secret, true));
        Self {
            settings: own.chain(of_plugins).collect(),
            faults: Vec::new(),
        }
    }

    /// Whether both name the same files by the settings `keys`.
    pub(super) fn names_the_same(&self, other: &Self, keys: &[&str]) -> bool {
        let path = |of: &Self, key: &str| {
            let row = of.settings.iter().find(|row| row.key == key)?;
            Some(row.value.clone())
        };
        keys.iter().all(|key| path(self, key) == path(other, key))
    }

    /// What is another in `then`.
    pub(crate) fn changes(&self, then: &Self) -> Vec<ConfigChange> {
        let rows = |of: &Self| -> BTreeMap<String, Row> {
            let rows = of.settings.iter();
            rows.map(|row| (row.key.clone(), row.clone())).collect()
        };
        let (now, then) = (rows(self), rows(then));
        let value = |row: &Row| ConfigValue {
            value: row.value.clone(),
            from: row.from.clone(),
        };
        let mut keys: Vec<_> = now.keys().chain(then.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter_map(|key| {
                let (before, after) = (now.get(key), then.get(key));
                if before.map(|row| &row.digest) == after.map(|row| &row.digest) {
                    return None;
                }
                Some(ConfigChange {
                    key: key.clone(),
                    before: before.map(value),
                    after: after.map(value),
                    applies: match AT_THE_SWITCH.contains(&key.as_str())
                        || before.or(after).is_some_and(|row| row.is_plugins)
                    {
                        true => Applies::AtTheSwitch,
                        false => Applies::AfterARestart,
                    },
                })
            })
            .collect()
    }
}

/// `host config resolve --release V`: what this program, as that of release V, makes of
/// the home's configuration.
pub(super) fn resolve(
    found: &Found,
    version: &Version,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let release = found.home.releases().read(version);
    let release = release.map_err(|e| Failure::refused("not_installed", e.to_string()))?;
    let settings = found.settings_of(&release, std::env::var_os(ANEW).is_some());
    let salt = std::env::var(SALT).unwrap_or_default();
    let mut resolved = Resolved::of(&settings, &salt);
    if let Err(faults) = Config::resolve(&settings, &found.home) {
        resolved.faults = faults.0;
    }
    out.document(&resolved, |resolved| match resolved.faults.as_slice() {
        [] => format!("{} settings, and nothing is wrong", resolved.settings.len()),
        faults => faults.join("\n"),
    })?;
    Ok(0)
}

/// What the program of `release` makes of the configuration; `arguments` name the home.
/// `anew`: of the files as they are, also where it was left with others.
///
/// # Errors
///
/// Why it did not say, in a sentence.
pub(crate) fn ask(
    release: &Unpacked,
    arguments: &[std::ffi::OsString],
    salt: &str,
    anew: bool,
) -> Result<Resolved, String> {
    let program = release.program();
    let failed = |problem: String| {
        format!(
            "{} was asked what it makes of the configuration, and {problem}; install the release again",
            program.display()
        )
    };
    let child = Command::new(&program)
        .args(arguments)
        .args(["--json", "config", "resolve", "--release"])
        .arg(release.manifest.version.to_string())
        .env(SALT, salt)
        .envs(anew.then_some((ANEW, "yes")))
        .env_remove(NOTIFY_SOCKET)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(format!("could not be run ({e})")))?;
    let said = said(child, ANSWER_BYTES_MAX, RESOLVE_TIMEOUT);
    let said = said.map_err(|e| failed(e.to_string()))?;
    let Some(Said { status, text }) = said else {
        let seconds = RESOLVE_TIMEOUT.as_secs();
        return Err(failed(format!("had not ended after {seconds} s")));
    };
    serde_json::from_slice(&text)
        .map_err(|e| failed(format!("ended with {status} and no answer ({e})")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn settings(root: &Path, env: &str) -> Settings {
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/env"), env).unwrap();
        Settings::read(root, None, [])
    }

    #[test]
    fn what_is_added_changed_and_removed_and_no_secret() {
        let home = tempfile::tempdir().unwrap();
        let (secret, other) = ("s".repeat(64), "t".repeat(64));
        let now = settings(
            home.path(),
            &format!("PORT=1\nRUST_LOG=info\nHOST=a\nSECRET_KEY_BASE={secret}\n"),
        );
        let now = Resolved::of(&now, "salt");
        let then = settings(
            home.path(),
            &format!("PORT=1\nRUST_LOG=debug\nPOOL_SIZE=5\nSECRET_KEY_BASE={other}\n"),
        );
        let then = Resolved::of(&then, "salt");
        let changes = now.changes(&then);
        let shown: Vec<_> = changes
            .iter()
            .map(|it| {
                let value = |value: &Option<ConfigValue>| {
                    value.as_ref().map_or("-".to_owned(), |it| it.value.clone())
                };
                let (before, after) = (value(&it.before), value(&it.after));
                format!("{} {before} {after} {}", it.key, it.applies.name())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "HOST a - after a restart",
                "POOL_SIZE - 5 after a restart",
                "RUST_LOG info debug at the switch",
                "SECRET_KEY_BASE <secret> <secret> after a restart",
            ]
        );
        let text = serde_json::to_string(&then).unwrap();
        assert!(!text.contains(&other), "{text}");
        // The same value under another salt is not to be recognised.
        let salted = Resolved::of(&settings(home.path(), "HOST=a\n"), "pepper");
        assert_ne!(salted.settings[0].digest, now.settings[0].digest);
    }
}
