//! What of the configuration can change while the host runs, and who changes it.
//!
//! These settings change with the release that rules, in the same moment, and go back
//! with it, and when the configuration is read anew; all others are those of the start.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use host_actors::{Actors, Limits};
use host_gateway::{Addresses, ClientLimits, Cors, CorsRules};
use host_model::Version;
use host_model::control::ConfigChange;
use host_upgrade::Unpacked;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::resolved::{Resolved, ask};
use super::{Config, ConfigFaults, Environment, Reader};
use crate::heap::Heap;
use crate::launcher::{Found, with_release};
use crate::left::InForce;
use crate::settings::Settings;

mod reload;

/// The settings of [`Tuning`], by name.
pub(crate) const AT_THE_SWITCH: [&str; 16] = [
    "CORS_CREDENTIALS",
    "CORS_ORIGINS",
    "LIMITS_ADDRESS_BYTES",
    "LIMITS_ADDRESS_CONNECTIONS",
    "LIMITS_ADDRESS_JOINS",
    "LIMITS_ADDRESS_MESSAGES",
    "LIMITS_CONNECTION_BYTES",
    "LIMITS_CONNECTION_JOINS",
    "LIMITS_CONNECTION_MESSAGES",
    "RETENTION",
    "RUNTIME_LIMITS_AWAKE_ACTORS",
    "RUNTIME_LIMITS_CALLS_UNDER_WAY",
    "RUNTIME_LIMITS_IDLE_S",
    "RUNTIME_LIMITS_MAILBOX_MESSAGES",
    "RUNTIME_LIMITS_MEMORY_BYTES",
    "RUST_LOG",
];

/// What of a configuration can change while the host runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tuning {
    log_filter: String,
    retention_days: Option<u32>,
    cors: CorsRules,
    awake_actors: Option<usize>,
    memory_bytes: Option<u64>,
    calls_under_way: Option<usize>,
    mailbox_messages: Option<usize>,
    idle_s: Option<u64>,
    clients: ClientLimits,
}

impl Tuning {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            log_filter: config.log_filter.clone(),
            retention_days: config.retention_days,
            cors: config.cors.clone(),
            awake_actors: config.runtime.awake_actors,
            memory_bytes: config.runtime.memory_bytes,
            calls_under_way: config.runtime.calls_under_way,
            mailbox_messages: config.runtime.mailbox_messages,
            idle_s: config.runtime.idle_s,
            clients: config.clients.limits,
        }
    }

    /// Read from what a release has resolved: none of these settings is a secret.
    fn of_resolved(resolved: &Resolved) -> Result<Self, ConfigFaults> {
        let rows = resolved.settings.iter();
        let rows = rows.filter(|row| AT_THE_SWITCH.contains(&row.key.as_str()));
        let settings = Settings::of_rows(
            rows.map(|row| (row.key.clone(), row.value.clone(), row.from.clone())),
        );
        let mut reader = Reader::new(&settings);
        let runtime = reader.runtime();
        let tuning = Self {
            log_filter: reader.log_filter(),
            // What it may be in which environment, the release has looked at.
            retention_days: reader.retention_days(Environment::Dev),
            cors: reader.cors(),
            awake_actors: runtime.awake_actors,
            memory_bytes: runtime.memory_bytes,
            calls_under_way: runtime.calls_under_way,
            mailbox_messages: runtime.mailbox_messages,
            idle_s: runtime.idle_s,
            clients: reader.client_limits(),
        };
        reader.finish(tuning)
    }

    /// The actors' bounds, where an operator has set them.
    pub(crate) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            awake_max: self.awake_actors.unwrap_or(default.awake_max),
            calls_max: self.calls_under_way.unwrap_or(default.calls_max),
            mailbox_max: self.mailbox_messages.unwrap_or(default.mailbox_max),
            idle: self.idle_s.map_or(default.idle, Duration::from_secs),
            ..default
        }
    }
}

/// Sets which log lines there are.
pub(crate) type SetLogFilter = Box<dyn Fn(&str) + Send + Sync>;

/// What a tuning is applied to.
pub(crate) struct Dials {
    pub(crate) log: SetLogFilter,
    pub(crate) heap: Arc<Heap>,
    pub(crate) retention: watch::Sender<Option<u32>>,
    pub(crate) cors: Arc<Cors>,
    pub(crate) addresses: Arc<Addresses>,
}

/// Knows what each release makes of the configuration, and applies it.
pub(crate) struct Tuner {
    arguments: Vec<std::ffi::OsString>,
    in_force: InForce,
    salt: String,
    dials: Dials,
    actors: Mutex<Option<Arc<Actors>>>,
    state: Mutex<State>,
}

struct State {
    /// The release whose configuration is in force.
    now: Version,
    /// The release that an upgrade under way leads back to: its configuration, as it was in
    /// force, is what a way back restores.
    back: Option<Version>,
    /// What this process was started with: all that cannot change is so still.
    started: Resolved,
    by_release: BTreeMap<Version, (Resolved, Tuning)>,
}

impl fmt::Debug for Tuner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuner").finish_non_exhaustive()
    }
}

impl Tuner {
    /// One in whose process the release `booted` has made `config` of what was `found`.
    ///
    /// # Errors
    ///
    /// The kernel has no random bits.
    pub(crate) fn new(
        booted: Version,
        found: &Found,
        config: &Config,
        dials: Dials,
    ) -> anyhow::Result<Self> {
        let salt = format!("{:016x}", getrandom::u64()?);
        let own = (Resolved::of(&found.settings, &salt), Tuning::of(config));
        Ok(Self {
            arguments: found.arguments(),
            in_force: found.in_force(&booted),
            salt,
            dials,
            actors: Mutex::default(),
            state: Mutex::new(State {
                started: own.0.clone(),
                by_release: [(booted.clone(), own)].into(),
                now: booted,
                back: None,
            }),
        })
    }

    /// The actors, once there are some.
    pub(crate) fn set_actors(&self, actors: &Arc<Actors>) {
        *self.actors.lock() = Some(Arc::clone(actors));
    }

    /// What `release` would change, resolved by its own program: an upgrade to it runs with
    /// what was read here. Of the release that rules it is in force already. Blocking.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the configuration as that release reads it.
    pub(crate) fn look(&self, release: &Unpacked) -> Result<Vec<ConfigChange>, Vec<String>> {
        let version = &release.manifest.version;
        if *version == self.state.lock().now {
            return Ok(Vec::new());
        }
        let files = self.in_force.now();
        let of_release = |fault: &String| format!("its configuration: {fault}");
        let read = self.read(release, false);
        let (resolved, tuning) =
            read.map_err(|faults| faults.iter().map(of_release).collect::<Vec<_>>())?;
        let mut state = self.state.lock();
        let looked = self.in_force.looked(version, files);
        let is_kept = looked.map_err(|why| vec![of_release(&why)])?;
        let changes = match state.by_release.get(&state.now) {
            Some((now, _)) => now.changes(&resolved),
            None => Vec::new(),
        };
        if is_kept {
            state.keep(version, resolved, tuning);
        }
        Ok(changes)
    }

    /// What `release` makes of the configuration by now; `anew`: of the files as they are, also
    /// where it ran with others before.
    fn read(&self, release: &Unpacked, anew: bool) -> Result<(Resolved, Tuning), Vec<String>> {
        let resolved = ask(release, &self.arguments, &self.salt, anew).map_err(|why| vec![why])?;
        if !resolved.faults.is_empty() {
            return Err(resolved.faults);
        }
        let tuning = Tuning::of_resolved(&resolved).map_err(|faults| faults.0)?;
        Ok((resolved, tuning))
    }

    /// Lets the configuration of `release` take effect, as it was looked at before. Of a
    /// release that was not, nothing is known, and what is in force stays.
    pub(crate) fn rules(&self, release: &Version) {
        let mut state = self.state.lock();
        self.in_force.rules(release);
        let Some((_, tuning)) = state.by_release.get(release) else {
            return;
        };
        let tuning = tuning.clone();
        let before = state.by_release.get(&state.now).map(|(_, it)| it.clone());
        state.go_to(release);
        if before.as_ref() == Some(&tuning) {
            return;
        }
        self.apply(&tuning);
        tracing::info!(%release, ?tuning, "the release's configuration is in force");
    }

    fn apply(&self, tuning: &Tuning) {
        (self.dials.log)(&tuning.log_filter);
        self.dials.heap.set_most(tuning.memory_bytes);
        self.dials.retention.send_replace(tuning.retention_days);
        self.dials.cors.set(tuning.cors.clone());
        self.dials.addresses.set_limits(tuning.clients);
        if let Some(actors) = &*self.actors.lock() {
            actors.set_limits(tuning.limits());
        }
    }

    /// `release` is permanent: no upgrade is under way that would restore another's
    /// configuration as it was.
    pub(crate) fn settled(&self, release: &Version) {
        let mut state = self.state.lock();
        self.in_force.permanent(release);
        state.back = None;
    }

    /// An upgrade is about to leave `release` for `next`.
    ///
    /// # Errors
    ///
    /// [`InForce::leave`]
    pub(crate) fn leave(&self, release: &Version, next: &Version) -> Result<(), String> {
        let _whole = self.state.lock();
        self.in_force.leave(release, next)
    }

    /// The upgrade that was under way has ended, and the release rules that did before.
    pub(crate) fn came_back(&self) {
        let _whole = self.state.lock();
        self.in_force.came_back();
    }

    /// The host is ready; see [`InForce::is_ready`].
    ///
    /// # Errors
    ///
    /// What is kept cannot be written.
    pub(crate) fn is_ready(&self, is_going_back: bool) -> Result<(), String> {
        self.in_force.is_ready(is_going_back)
    }

    /// What `release` makes of the home in this process.
    pub(crate) fn settings_of(&self, release: &Unpacked) -> Settings {
        let files = self.in_force.files_of(&release.manifest.version);
        with_release(&files, release)
    }
}

impl State {
    /// Keeps what a release would bring. What is in force stays what it is, whatever its
    /// files say by now, and so does what a way back restores.
    fn keep(&mut self, version: &Version, resolved: Resolved, tuning: Tuning) {
        if *version != self.now && self.back.as_ref() != Some(version) {
            self.by_release.insert(version.clone(), (resolved, tuning));
        }
    }

    /// Another release rules; or the one before it again, and then nothing leads back.
    fn go_to(&mut self, release: &Version) {
        if *release == self.now {
            return;
        }
        let before = std::mem::replace(&mut self.now, release.clone());
        self.back = (self.back.as_ref() != Some(release)).then_some(before);
    }
}

#[cfg(test)]
mod tests {
    use host_gateway::CorsOrigins;

    use super::*;

    #[test]
    fn every_setting_that_changes_is_one_and_is_read_back() {
        for key in AT_THE_SWITCH {
            assert!(crate::settings::KEYS.contains(&key), "{key}");
        }
        let rows = [
            ("CORS_ORIGINS", "*"),
            ("LIMITS_ADDRESS_JOINS", "9"),
            ("RETENTION", "30"),
            ("RUNTIME_LIMITS_AWAKE_ACTORS", "5000"),
            ("RUNTIME_LIMITS_CALLS_UNDER_WAY", "9"),
            ("RUNTIME_LIMITS_IDLE_S", "60"),
            ("RUNTIME_LIMITS_MAILBOX_MESSAGES", "7"),
            ("RUNTIME_LIMITS_MEMORY_BYTES", "100000000"),
            ("RUST_LOG", "debug"),
        ];
        let settings = |rows: &[(&str, &str)]| {
            let rows = rows.iter();
            Settings::of_rows(
                rows.map(|(key, value)| ((*key).to_owned(), (*value).to_owned(), "x".to_owned())),
            )
        };
        let resolved = Resolved::of(&settings(&rows), "");
        let tuning = Tuning::of_resolved(&resolved).unwrap();
        let limits = tuning.limits();
        assert_eq!((limits.awake_max, limits.mailbox_max), (5_000, 7));
        assert_eq!(limits.calls_max, 9);
        assert_eq!(tuning.cors.origins, CorsOrigins::Any);
        assert_eq!(limits.idle, Duration::from_secs(60));
        assert_eq!(tuning.memory_bytes, Some(100_000_000));
        assert_eq!(tuning.retention_days, Some(30));
        assert_eq!(tuning.clients.address.joins, 9);
        assert_eq!(tuning.log_filter, "debug");
        let resolved = Resolved::of(&settings(&[("RETENTION", "soon")]), "");
        assert!(Tuning::of_resolved(&resolved).is_err());
    }

    #[test]
    fn what_a_way_back_restores_is_not_overwritten_by_a_look_at_it() {
        let (old, new) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        let read = |filter: &str| {
            let row = |it: &str| ("RUST_LOG".to_owned(), it.to_owned(), "x".to_owned());
            let resolved = Resolved::of(&Settings::of_rows([row(filter)]), "");
            let tuning = Tuning::of_resolved(&resolved).unwrap();
            (resolved, tuning)
        };
        let mut state = State {
            now: old.clone(),
            back: None,
            started: Resolved::default(),
            by_release: [(old.clone(), read("info"))].into(),
        };
        let look = |state: &mut State, version: &Version, filter: &str| {
            let (resolved, tuning) = read(filter);
            state.keep(version, resolved, tuning);
            state.by_release[version].1.log_filter.clone()
        };
        assert_eq!(look(&mut state, &old, "warn"), "info", "it is in force");
        assert_eq!(look(&mut state, &new, "debug"), "debug");
        state.go_to(&new);
        assert_eq!(look(&mut state, &old, "warn"), "info", "it may come back");
        // It has come back, and may be left again.
        state.go_to(&old);
        assert_eq!(look(&mut state, &new, "trace"), "trace");
        state.go_to(&new);
        // Nothing leads back any more but a change of its own, which looks anew.
        state.back = None;
        assert_eq!(look(&mut state, &old, "warn"), "warn");
    }
}
