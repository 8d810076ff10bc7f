//! Reading the configuration anew while the host runs, at an operator's word or at SIGHUP.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use host_actors::Actors;
use host_gateway::{KeyRing, Renewal, Tls, Tokens};
use host_journal::Outcome;
use host_model::Version;
use host_model::control::{Applies, ConfigChange, ConfigValue, Reloaded};
use host_upgrade::{Releases, Upgrader};
use parking_lot::Mutex;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::acts;
use super::readiness::Ready;
use crate::config::tuning::Tuner;
use crate::logfile::LogFile;
use crate::notify;

/// The setting that names a file of keys, which is read anew.
const TOKEN_KEYS_FILE: &str = "TOKEN_KEYS_FILE";

/// Reads the configuration anew.
pub(super) struct Reloader {
    pub(super) tuner: Arc<Tuner>,
    pub(super) releases: Releases,
    pub(super) ready: Arc<Ready>,
    pub(super) upgrader: Arc<Upgrader>,
    pub(super) log: LogFile,
    pub(super) actors: Arc<Actors>,
    /// The certificate for clients, if the port speaks TLS.
    pub(super) tls: Option<Arc<Tls>>,
    /// What verifies tokens, if anybody is asked for one.
    pub(super) tokens: Option<Arc<Tokens>>,
    /// One at a time: what was read last is to be what is in force.
    pub(super) turn: Mutex<()>,
}

impl Reloader {
    /// Lets take effect what can, and names it. Blocking.
    ///
    /// # Errors
    ///
    /// Everything that is wrong; then nothing has changed.
    pub(super) fn reload(&self) -> Result<Reloaded, Vec<String>> {
        let _turn = self.turn.lock();
        // Also where the configuration is wrong: who moved the log wants a new one.
        self.log.reopen();
        if !self.ready.is_serving() {
            // To say that it is ready again, it would have to be.
            let why = "the host starts or stops; ask again when it is ready";
            return Err(vec![why.to_owned()]);
        }
        notify::reloading();
        let toward = self.upgrader.toward();
        let toward = toward.as_ref();
        let plugins_were_told = Cell::new(false);
        let prepare = |is_same: &dyn Fn(&[&str]) -> bool| {
            let tls = self.tls.as_ref();
            let tls = tls.filter(|_| is_same(&["TLS_CERT_FILE", "TLS_KEY_FILE"]));
            let tokens = self.tokens.as_ref();
            let tokens = tokens.filter(|_| is_same(&[TOKEN_KEYS_FILE]));
            let keys = tokens.map(|tokens| tokens.read()).transpose();
            let keys = keys.map_err(|error| vec![format!("{TOKEN_KEYS_FILE}: {error}")])?;
            let renewal = tls.map(|tls| tls.read()).transpose();
            let renewal = renewal.map_err(|error| vec![error.to_string()])?;
            plugins_were_told.set(true);
            self.reconfigure(toward)?;
            Ok((renewal, keys))
        };
        let reloaded = self.tuner.reload(&self.releases, toward, prepare);
        if reloaded.is_err() && plugins_were_told.get() {
            // One has refused what others took, which get back what they had.
            if let Err(problems) = self.reconfigure(toward) {
                let problems = problems.join("; ");
                tracing::error!(problems, "plugins do not take back what they had");
            }
        }
        let reloaded = reloaded.map(|(mut changes, (renewal, keys))| {
            changes.extend(self.renew(renewal));
            changes.extend(self.rekey(keys));
            changes
        });
        notify::ready();
        match &reloaded {
            Ok(changes) => tell(changes),
            Err(problems) => {
                let problems = problems.join("\n  - ");
                tracing::error!(
                    "the configuration stays as it was, for what was to be read anew is wrong\n  - {problems}"
                );
            }
        }
        reloaded.map(|config| Reloaded { config })
    }

    /// Gives the plugins of the release that rules, and of the one that is to, what they are to
    /// work with.
    fn reconfigure(&self, toward: Option<&Version>) -> Result<(), Vec<String>> {
        let ruling = self.actors.release().version.clone();
        for version in toward.into_iter().chain([&ruling]) {
            self.upgrader.assembler().reconfigure(version)?;
        }
        Ok(())
    }

    /// Lets new handshakes have the certificate that was read, and names it if it is another.
    fn renew(&self, renewal: Option<Renewal>) -> Option<ConfigChange> {
        let tls = self.tls.as_ref()?;
        let replaced = tls.replace(renewal?)?;
        let value = |value| {
            let from = tls.files().cert.display().to_string();
            Some(ConfigValue { value, from })
        };
        Some(ConfigChange {
            key: "TLS_CERT_FILE".to_owned(),
            before: value(replaced.before),
            after: value(replaced.after),
            applies: Applies::Now,
        })
    }

    /// Verifies tokens by the keys that were read, and names them if they are others.
    fn rekey(&self, keys: Option<KeyRing>) -> Option<ConfigChange> {
        let tokens = self.tokens.as_ref()?;
        let before = tokens.replace(keys?)?;
        let file = tokens.source().file.as_ref();
        let from = file.map_or_else(String::new, |file| file.display().to_string());
        let value = |keys: &KeyRing| {
            Some(ConfigValue {
                value: keys.shown(),
                from: from.clone(),
            })
        };
        Some(ConfigChange {
            key: TOKEN_KEYS_FILE.to_owned(),
            before: value(&before),
            after: value(&tokens.keys()),
            applies: Applies::Now,
        })
    }
}

fn tell(changes: &[ConfigChange]) {
    for change in changes {
        let after = change.after.as_ref();
        let value = after.map_or("its default", |after| after.value.as_str());
        tracing::info!(
            setting = change.key,
            value,
            applies = change.applies.name(),
            "a setting has changed"
        );
    }
    tracing::info!(changes = changes.len(), "the configuration was read anew");
}

/// Reloads at each SIGHUP, until the task is ended. One that comes because the terminal
/// has gone that this process was started from rings `stop` instead, or nothing.
pub(super) async fn at_sighup(
    mut hang_up: HangUp,
    reloader: Arc<Reloader>,
    actors: Arc<Actors>,
    stop: Arc<Notify>,
) {
    while hang_up.signal.recv().await.is_some() {
        if hang_up.had_terminal && !has_terminal() {
            hang_up.had_terminal = false;
            if hang_up.outlives_terminal {
                tracing::info!("the terminal has gone, and the host goes on without it");
                continue;
            }
            tracing::info!("the terminal has gone, and the host ends with it");
            stop.notify_one();
            return;
        }
        let release = actors.release().version.clone();
        let begun = acts::begin(&actors, "reload", json!({"signal": "SIGHUP"}), &release).await;
        let begun = match begun {
            Ok(begun) => begun,
            Err(error) => {
                tracing::error!(%error, "a reload cannot be recorded in the audit trail, and was not begun");
                continue;
            }
        };
        let asked = Arc::clone(&reloader);
        let reloaded = tokio::task::spawn_blocking(move || asked.reload()).await;
        let outcome = match reloaded.expect("reading files does not panic") {
            Ok(_) => Outcome::done(),
            Err(problems) => Outcome {
                outcome: "bad_config".to_owned(),
                message: problems.join("; "),
            },
        };
        if let Err(error) = begun.end(&outcome).await {
            tracing::error!(?outcome, %error, "the outcome of a reload is not in the audit trail");
        }
    }
}

/// SIGHUP, and what it may mean.
pub(super) struct HangUp {
    signal: Signal,
    had_terminal: bool,
    /// Whoever started this process had it ignore the signal, nohup(1) for one: it is not to
    /// end with its terminal.
    outlives_terminal: bool,
}

impl HangUp {
    /// From now on the signal ends nothing by itself.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn listen() -> io::Result<Self> {
        // As it was before: whoever listens ignores it no more.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ok(Self {
            outlives_terminal: ignores_sighup(&status),
            had_terminal: has_terminal(),
            signal: signal(SignalKind::hangup())?,
        })
    }
}

/// By a `/proc/PID/status`: proc_pid_status(5). The lowest bit is the first signal, SIGHUP.
fn ignores_sighup(status: &str) -> bool {
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Whether this process is controlled by a terminal that is there.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_process_was_told_to_outlive_its_terminal() {
        let status = |mask: &str| format!("Name:\thost\nSigBlk:\t0000000000000001\n{mask}");
        assert!(ignores_sighup(&status("SigIgn:\t0000000000001001\n")));
        assert!(!ignores_sighup(&status("SigIgn:\t0000000000001000\n")));
        assert!(!ignores_sighup(&status("")));
    }
}
