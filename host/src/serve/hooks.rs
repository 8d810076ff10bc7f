//! What an upgrade is told of this host, and what it tells this host to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host_model::Version;
use host_upgrade::{Hooks, Machine, PluginConfig, State};

use crate::config::tuning::Tuner;
use crate::config::{Config, Environment, Store, plugins};
use crate::home::Home;

/// What releases are held against here.
pub(super) fn machine(home: &Home, config: &Config) -> Machine {
    let store = match &config.store {
        Store::Sqlite { path, .. } => path.parent().map(Path::to_owned),
        Store::Postgres { .. } => None,
    };
    Machine {
        runs: crate::install::machine(),
        images: home.images(),
        store,
    }
}

/// What is done at moments of an upgrade.
pub(super) fn hooks(
    home: &Home,
    config: &Config,
    tuner: &Arc<Tuner>,
    restart: &Arc<AtomicBool>,
) -> Hooks {
    let permanent = {
        let (home, tuner) = (home.clone(), Arc::clone(tuner));
        move |version: &Version| {
            tuner.settled(version);
            if let Err(error) = home.set_permanent(version) {
                // The store knows, and the next start writes it again.
                tracing::error!(%error, "data/permanent could not be written");
            }
        }
    };
    let abort_after = match config.environment {
        Environment::Dev => std::env::var(ABORT_AFTER).ok(),
        Environment::Prod => None,
    };
    let in_force = Arc::clone(tuner);
    let transition = move |state: &State| {
        if matches!(state, State::RolledBack { .. } | State::Cancelled { .. }) {
            in_force.came_back();
        }
        if abort_after.as_deref() == Some(state.name()) {
            tracing::warn!(state = state.name(), "{ABORT_AFTER} ends the host here");
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    };
    Hooks {
        permanent: Box::new(permanent),
        transition: Box::new(transition),
        configuration: {
            let tuner = Arc::clone(tuner);
            Box::new(move |release| tuner.look(release))
        },
        leave: {
            let tuner = Arc::clone(tuner);
            Box::new(move |release, next| tuner.leave(release, next))
        },
        rules: {
            let tuner = Arc::clone(tuner);
            Box::new(move |release| tuner.rules(release))
        },
        restart: {
            let restart = Arc::clone(restart);
            Box::new(move || restart.store(true, Ordering::SeqCst))
        },
    }
}

/// What the plugins of a release are to work with: what the release itself does.
pub(super) fn plugins(tuner: &Arc<Tuner>) -> Box<PluginConfig> {
    let tuner = Arc::clone(tuner);
    Box::new(move |release, plugin| plugins::of(&tuner.settings_of(release), plugin))
}

/// In development, the state of an upgrade behind which the host kills itself: how
/// the tests show that every transition survives it.
const ABORT_AFTER: &str = "HOST_ABORT_AFTER";
