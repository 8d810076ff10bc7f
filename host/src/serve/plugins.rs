//! Opens the plugins of the release that boots. It is here that their code runs first, in
//! `init` and `configure`; and native code that does not return cannot be interrupted.
//!
//! So the start that it keeps fails, and with it this process ends: whoever boots hosts
//! hears of it, and a release that does so each time has not come up, and is left. A start
//! may take long otherwise, as the store's actors may come over in it; there deadlines of
//! upgrades hold.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use host_actors::Release;
use host_model::limits::PLUGIN_START_TIMEOUT;
use host_model::release::ReleasePlugin;
use host_upgrade::{Assembler, Unpacked};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Between two looks at whom it is with.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// As [`Assembler::assemble`], on a thread of the runtime `data`.
///
/// # Errors
///
/// As there; and that one plugin has taken [`PLUGIN_START_TIMEOUT`]. Its thread is stuck then.
pub(super) async fn assemble(
    assembler: &Arc<Assembler>,
    rules: Unpacked,
    is_left: bool,
    data: &Handle,
) -> Result<Release> {
    let asked = Arc::clone(assembler);
    let own = rules.manifest.plugins.clone();
    let assembling = data.spawn_blocking(move || asked.assemble(&rules, is_left));
    Ok(unless_stuck(assembling, &own, || assembler.opening()).await??)
}

/// One plugin has taken too long.
#[derive(Debug, Error)]
#[error("{}", self.told())]
pub(super) struct Stuck {
    plugin: ReleasePlugin,
    /// Whether the release that boots has it; otherwise another one that is installed does.
    pub(super) is_own: bool,
}

impl Stuck {
    fn told(&self) -> String {
        let ReleasePlugin { name, version, .. } = &self.plugin;
        let whose = match self.is_own {
            true => String::new(),
            false => format!(
                "; {name} {version} is of another release that is installed here: start without it, with its folder elsewhere"
            ),
        };
        format!(
            "open {name} {version}: it has not returned for {} s, so the start is given up; its `init` or `configure` hangs, or the disk does{whose}",
            PLUGIN_START_TIMEOUT.as_secs()
        )
    }
}

/// What `work` comes to, unless it is with one plugin for too long.
async fn unless_stuck<T>(
    mut work: JoinHandle<T>,
    own: &[ReleasePlugin],
    opening: impl Fn() -> Option<(ReleasePlugin, Duration)>,
) -> Result<T> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            done = &mut work => return done.context("open the plugins"),
            _ = look.tick() => {}
        }
        if let Some((plugin, took)) = opening()
            && took > PLUGIN_START_TIMEOUT
        {
            let is_own = own
                .iter()
                .any(|it| (&it.name, &it.version) == (&plugin.name, &plugin.version));
            return Err(Stuck { plugin, is_own }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn plugin() -> ReleasePlugin {
        let plugin = serde_json::json!({
            "name": "zakat", "version": "0.2.0", "file": "x.so", "sha256": ""
        });
        serde_json::from_value(plugin).unwrap()
    }

    fn with(took: Duration) -> Option<(ReleasePlugin, Duration)> {
        Some((plugin(), took))
    }

    #[tokio::test]
    async fn a_plugin_that_does_not_return_ends_the_start_by_name() {
        for own in [vec![plugin()], Vec::new()] {
            let (go, hangs) = mpsc::channel::<()>();
            let work = tokio::task::spawn_blocking(move || hangs.recv().is_ok());
            let too_long = PLUGIN_START_TIMEOUT + Duration::from_millis(1);
            let ended = unless_stuck(work, &own, || with(too_long)).await;
            let ended = ended.unwrap_err();
            let why = ended.to_string();
            assert!(why.starts_with("open zakat 0.2.0: it has not"), "{why}");
            let is_own = ended.downcast_ref::<Stuck>().unwrap().is_own;
            assert_eq!(
                is_own,
                !own.is_empty(),
                "the release that boots is to blame"
            );
            assert_eq!(!is_own, why.contains("of another release"), "{why}");
            // The runtime waits for that thread.
            drop(go);
        }
    }

    #[tokio::test]
    async fn one_that_takes_its_time_is_waited_for() {
        let (go, begins) = mpsc::channel();
        let work = tokio::task::spawn_blocking(move || begins.recv());
        // It has been looked at when it goes on.
        let look = || {
            let _over = go.send("done");
            with(PLUGIN_START_TIMEOUT)
        };
        let done = unless_stuck(work, &[], look).await.unwrap();
        assert_eq!(done, Ok("done"));
    }
}
