//! Where settings come from: layers of names and values, the first that has one wins.
//!
//! The environment, `etc/env`, `etc/host.toml`, then the release's own `env` and
//! `host.toml`. The TOML files use the environment's names in lower case; a name within
//! a table goes on the table's: `threads` of `[runtime]` is `RUNTIME_THREADS`. What plugins
//! can be configured by is in the manifest of a release: `nisab_grams` of `[plugins.zakat]`
//! is `ZAKAT_NISAB_GRAMS`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use host_model::release::ReleasePlugin;
use host_model::setting::{self, PluginSetting};
use host_model::suggest::{nearest, slip};

use self::files::{Content, File, Files};
use crate::env_file;

pub(crate) mod files;

/// Every setting there is, by its name in the environment.
pub(crate) const KEYS: [&str; 47] = [
    "ADMIN_PORT",
    "ALLOWED_ORIGINS",
    "AUTH",
    "CORS_CREDENTIALS",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "HOST",
    "HOST_ALLOW_DEBUG",
    "HOST_ALLOW_ROOT",
    "HOST_DATA",
    "HOST_ENV",
    "HOST_HOME",
    "LIMITS_ADDRESS_BYTES",
    "LIMITS_ADDRESS_CONNECTIONS",
    "LIMITS_ADDRESS_JOINS",
    "LIMITS_ADDRESS_MESSAGES",
    "LIMITS_CONNECTION_BYTES",
    "LIMITS_CONNECTION_JOINS",
    "LIMITS_CONNECTION_MESSAGES",
    "LISTEN",
    "LOG_FILES",
    "LOG_FORMAT",
    "LOG_MAX_BYTES",
    "PHX_HOST",
    "POOL_SIZE",
    "PORT",
    "PROXY_HEADER",
    "RETENTION",
    "RUNTIME_LIMITS_AWAKE_ACTORS",
    "RUNTIME_LIMITS_CALLS_UNDER_WAY",
    "RUNTIME_LIMITS_IDLE_S",
    "RUNTIME_LIMITS_MAILBOX_MESSAGES",
    "RUNTIME_LIMITS_MEMORY_BYTES",
    "RUNTIME_STACK_BYTES",
    "RUNTIME_THREADS",
    "RUST_LOG",
    "SECRET_KEY_BASE",
    "SECRET_KEY_BASE_OLD",
    "SSL_CERT_FILE",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "TOKEN_AUDIENCE",
    "TOKEN_KEYS_FILE",
    "TRUSTED_KEYS",
    "TRUSTED_PROXIES",
    "URL_PORT",
    "URL_SCHEME",
];

/// Tables of the TOML files, each with those around it before it.
const TABLES: [&str; 3] = ["limits", "runtime", "runtime_limits"];

/// The table in which those of plugins have one each.
const PLUGINS: &str = "plugins";

/// The layers, the strongest first, and what is wrong with them.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    layers: Vec<Layer>,
    faults: Vec<String>,
    /// What is no setting of the host, and may be one of a plugin.
    others: Vec<Other>,
    /// What the plugins of the release declare, by its name in the environment.
    declared: BTreeMap<String, Declared>,
    /// Whether a file could not be read, and which names of others could not.
    unread: bool,
    torn: Vec<String>,
    /// Names in the environment with values that are no text.
    garbled: Vec<String>,
    /// Names in the environment that are no settings of the host; most are meant for others.
    strange: Vec<String>,
    /// What there is to know of where they come from, a sentence each.
    notes: Vec<String>,
}

/// A setting of a plugin of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) plugin: String,
    pub(crate) setting: PluginSetting,
}

/// A name that stands in a file.
#[derive(Debug, Clone)]
struct Other {
    file: String,
    key: String,
    /// As it is written there.
    written: String,
}

/// Values may be secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<_> = self.layers.iter().map(|layer| &layer.name).collect();
        let mut shown = f.debug_struct("Settings");
        shown.field("layers", &layers).finish_non_exhaustive()
    }
}

/// One source of settings.
#[derive(Clone)]
struct Layer {
    name: String,
    values: BTreeMap<String, String>,
}

/// A setting and the name of the layer that it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting<'a> {
    pub(crate) value: &'a str,
    pub(crate) from: &'a str,
}

impl Settings {
    /// The settings that `files` of a home make, but for those of a release.
    pub(crate) fn of(
        files: &Files,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut settings = Self::default();
        // Any of them may be a plugin's.
        let environment: Vec<_> = environment.into_iter().collect();
        let names = environment.iter().map(|(name, _)| name.clone());
        settings.strange = names.filter(|name| !is_setting(name)).collect();
        settings.push("the environment", environment);
        settings.env(&files.env);
        settings.toml(&files.toml);
        settings
    }

    /// Says which names of the environment have values that are no text, so that those of
    /// settings are told of. That of the home is a path, which need not be one.
    pub(crate) fn refuse_garbled(&mut self, names: Vec<String>) {
        let own = names
            .iter()
            .filter(|it| is_setting(it) && *it != "HOST_HOME");
        self.faults.extend(own.map(|it| garbled(it)));
        self.torn.extend(names.iter().cloned());
        self.garbled = names;
    }

    /// Adds what the release in the folder `dir` brings, below everything else.
    pub(crate) fn add_release(&mut self, dir: &Path) {
        self.env(&File::read(&dir.join("env"), false));
        self.toml(&File::read(&dir.join("host.toml"), false));
    }

    /// Says what else is wrong with where they come from.
    pub(crate) fn fault(&mut self, sentence: String) {
        self.faults.push(sentence);
    }

    /// Says something of where they come from, for whoever is warned.
    pub(crate) fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    /// Says what the plugins of the release can be configured by.
    pub(crate) fn declare(&mut self, plugins: &[ReleasePlugin]) {
        for plugin in plugins {
            for setting in &plugin.settings {
                let declared = Declared {
                    plugin: plugin.name.clone(),
                    setting: setting.clone(),
                };
                let key = setting.key(&plugin.name);
                if is_setting(&key) || self.declared.contains_key(&key) {
                    self.faults.push(format!(
                        "the plugin {} calls a setting {}, which would be {key}, and that is another's already: it needs another name",
                        plugin.name, setting.name
                    ));
                    continue;
                }
                if self.garbled.contains(&key) {
                    self.faults.push(garbled(&key));
                }
                self.declared.insert(key, declared);
            }
        }
    }

    /// What the plugins of the release can be configured by, by its name in the environment.
    pub(crate) fn declared(&self) -> &BTreeMap<String, Declared> {
        &self.declared
    }

    /// Settings that another process has resolved: name, value, and where it is from.
    pub(crate) fn of_rows(rows: impl IntoIterator<Item = (String, String, String)>) -> Self {
        let mut settings = Self::default();
        for (key, value, from) in rows {
            settings.push(&from, [(key, value)]);
        }
        settings
    }

    /// The setting of this name. An empty value is as none.
    pub(crate) fn get(&self, key: &str) -> Option<Setting<'_>> {
        self.layers.iter().find_map(|layer| {
            let value = layer.values.get(key).filter(|value| !value.is_empty())?;
            Some(Setting {
                value,
                from: &layer.name,
            })
        })
    }

    /// What is wrong with the files themselves.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Whether a setting may stand in what could not be read: that it is missing would be
    /// a guess.
    pub(crate) fn may_hide(&self, key: &str) -> bool {
        self.get(key).is_none() && (self.unread || self.torn.iter().any(|it| it == key))
    }

    /// What there is to know of the files, and what stands in them and is read by nobody.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let others = self.others.iter();
        let others = others.filter(|other| !self.declared.contains_key(&other.key));
        let others = others.map(|Other { file, key, written }| {
            let known = self.known().filter(|known| *known != "HOST_HOME");
            let meant = nearest(&key.to_uppercase(), known);
            let meant = meant.map_or_else(String::new, |it| format!("; did you mean {it}?"));
            format!("{file}: {written} is no setting that the host reads there{meant}")
        });
        let strange = self.strange.iter();
        let strange = strange.filter(|name| !self.declared.contains_key(*name));
        let slips = strange.filter_map(|name| {
            // What is set was not missed: the other may be somebody else's.
            let unset = self.known().filter(|known| self.get(known).is_none());
            let meant = slip(&name.to_uppercase(), unset)?;
            Some(format!(
                "the environment: {name} is no setting that the host reads; did you mean {meant}?"
            ))
        });
        let notes = self.notes.iter().cloned();
        notes.chain(others).chain(slips).collect()
    }

    /// Settings of the host, and of the plugins of the release.
    fn known(&self) -> impl Iterator<Item = &str> {
        KEYS.into_iter()
            .chain(self.declared.keys().map(String::as_str))
    }

    fn push(&mut self, name: &str, values: impl IntoIterator<Item = (String, String)>) {
        self.layers.push(Layer {
            name: name.to_owned(),
            values: values.into_iter().collect(),
        });
    }

    fn env(&mut self, file: &File) {
        let name = file.name.clone();
        if let Some(bytes) = self.bytes(file) {
            let read = env_file::parse(&self.readable(&name, bytes));
            let faults = read.faults.iter().map(|fault| format!("{name} {fault}"));
            self.faults.extend(faults);
            // No fault: systemd may read the same file for others.
            let unread = |key: &str| !is_setting(key) || key == "HOST_HOME";
            let unread = read.values.iter().filter(|(key, _)| unread(key));
            self.others.extend(unread.map(|(key, _)| Other {
                file: name.clone(),
                key: key.clone(),
                written: key.clone(),
            }));
            self.push(&name, read.values);
            self.torn.extend(read.torn);
        }
    }

    fn toml(&mut self, file: &File) {
        let name = file.name.clone();
        let Some(text) = self.text(file) else {
            return;
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(e) => {
                // Without the line, which may hold a secret.
                let line = e.span().map(|span| line_of(text, span.start));
                let line = line.map_or(String::new(), |line| format!(" line {line}"));
                let why = e.message();
                self.faults
                    .push(format!("{name}{line}: this is no TOML: {why}"));
                self.unread = true;
                return;
            }
        };
        let mut values = Vec::new();
        self.table(&name, "", table, &mut values);
        self.push(&name, values);
    }

    /// The settings in a table of the file `name`, whose own name is `within`.
    fn table(
        &mut self,
        name: &str,
        within: &str,
        table: toml::Table,
        values: &mut Vec<(String, String)>,
    ) {
        for (key, value) in table {
            let key = match within {
                "" => key,
                within => format!("{within}_{key}"),
            };
            let known = key.to_uppercase();
            let value = match value {
                toml::Value::Table(inner) if key == PLUGINS => {
                    self.plugins(name, inner, values);
                    continue;
                }
                toml::Value::Table(inner) if TABLES.contains(&key.as_str()) => {
                    self.table(name, &key, inner, values);
                    continue;
                }
                toml::Value::String(text) => Some(text),
                toml::Value::Integer(number) => Some(number.to_string()),
                toml::Value::Boolean(yes) => Some(if yes { "yes" } else { "no" }.to_owned()),
                _ => None,
            };
            match value {
                _ if !is_setting(&known) || key != known.to_lowercase() => {
                    let meant = match meant(&known, in_toml) {
                        meant if meant.is_empty() => {
                            format!("; there are {}", KEYS.map(in_toml).join(", "))
                        }
                        meant => meant,
                    };
                    self.faults
                        .push(format!("{name}: {key:?} is no setting{meant}"));
                }
                None => {
                    let fault = format!("{name}: {key} is a text, a whole number, true or false");
                    self.faults.push(fault);
                    self.torn.push(known);
                }
                Some(value) => values.push((known, value)),
            }
        }
    }

    /// Those of plugins, which one release knows and another may not: what nobody reads is
    /// no fault, for it may be there for the release to come.
    fn plugins(&mut self, file: &str, plugins: toml::Table, values: &mut Vec<(String, String)>) {
        for (plugin, table) in plugins {
            let toml::Value::Table(table) = table else {
                self.faults.push(format!(
                    "{file}: {plugin} in [plugins] is a table of settings"
                ));
                continue;
            };
            for (name, value) in table {
                let written = format!("{name} in [plugins.{plugin}]");
                let value = match value {
                    toml::Value::String(text) => text,
                    toml::Value::Integer(number) => number.to_string(),
                    toml::Value::Boolean(true) => "yes".to_owned(),
                    toml::Value::Boolean(false) => "no".to_owned(),
                    // A decimal as a text is kept as it is written.
                    _ => {
                        self.faults.push(format!(
                            "{file}: {written} is a text, a whole number, true or false"
                        ));
                        continue;
                    }
                };
                let key = setting::key(&plugin, &name);
                self.others.push(Other {
                    file: file.to_owned(),
                    key: key.clone(),
                    written,
                });
                values.push((key, value));
            }
        }
    }

    /// The lines of the file `name` that are text; each other one is empty, and a fault.
    fn readable(&mut self, name: &str, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        for (line, bytes) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            match str::from_utf8(bytes) {
                Ok(read) => text.push_str(read),
                Err(_) => {
                    text.push('\n');
                    self.unread = true;
                    let fault = format!("{name} line {line}: this is no text in UTF-8");
                    self.faults.push(fault);
                }
            }
        }
        text
    }

    fn text<'a>(&mut self, file: &'a File) -> Option<&'a str> {
        let text = str::from_utf8(self.bytes(file)?);
        text.inspect_err(|_| {
            self.unread = true;
            self.faults
                .push(format!("{} is no text in UTF-8", file.name));
        })
        .ok()
    }

    fn bytes<'a>(&mut self, file: &'a File) -> Option<&'a [u8]> {
        match &file.content {
            Content::Missing => None,
            Content::Bytes(bytes) => Some(bytes),
            Content::Unreadable(why) => {
                self.unread = true;
                self.faults
                    .push(format!("{} cannot be read: {why}", file.name));
                None
            }
        }
    }
}

/// The line, from 1, of what stands so many bytes behind the beginning.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

fn garbled(key: &str) -> String {
    format!("{key} (the environment): its value is no text in UTF-8")
}

fn is_setting(key: &str) -> bool {
    KEYS.contains(&key)
}

/// `; did you mean …?`, where a setting's name is near enough, as it is `written` there.
fn meant(key: &str, written: impl Fn(&str) -> String) -> String {
    match nearest(&key.to_uppercase(), KEYS).filter(|known| *known != "HOST_HOME") {
        Some(known) => format!("; did you mean {}?", written(known)),
        None => String::new(),
    }
}

/// A setting as a TOML file has it.
fn in_toml(key: &str) -> String {
    let table = match key {
        key if key.starts_with("RUNTIME_LIMITS_") => "RUNTIME_LIMITS_",
        key if key.starts_with("RUNTIME_") => "RUNTIME_",
        key if key.starts_with("LIMITS_") => "LIMITS_",
        _ => "",
    };
    let name = key[table.len()..].to_lowercase();
    match table {
        "RUNTIME_LIMITS_" => format!("{name} in [runtime.limits]"),
        "RUNTIME_" => format!("{name} in [runtime]"),
        "LIMITS_" => format!("{name} in [limits]"),
        _ => name,
    }
}

#[cfg(test)]
impl Settings {
    /// The settings of the home in `root`, but for those of a release.
    pub(crate) fn read(
        root: &Path,
        env_file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self::of(&Files::read(root, env_file), environment)
    }
}

#[cfg(test)]
mod tests;
