//! Hooks: what a plugin does as a whole, once, around a change of its version.

use std::sync::Arc;
use std::time::Duration;

use host_loader::{Call, Caller, Fault};
use host_model::Version;
use host_model::effect::Rejection;
use host_model::limits::HANDLER_WARN;
use thiserror::Error;

use crate::Actors;
use crate::clock::unix_ms;
use crate::release::Code;
use crate::seed;

/// A hook that is under way: plugin, version, name.
pub(crate) type Hook = (String, Version, String);

/// Why a hook was not done. The plugin is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HookError {
    /// It says no, or is not known.
    #[error("the hook `{hook}` of {plugin} {version} was refused: {} ({})", rejection.message, rejection.reason)]
    Rejected {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
        /// The hook.
        hook: String,
        /// What it said.
        rejection: Rejection,
    },
    /// It broke.
    #[error("the hook `{hook}` broke: {fault}")]
    Broke {
        /// The hook.
        hook: String,
        /// How.
        fault: Box<Fault>,
    },
    /// It did not end in time. It runs on, for native code cannot be interrupted.
    #[error(
        "the hook `{hook}` of {plugin} {version} had not ended after the {} ms that its appup allows; it runs on, and is waited for no longer", timeout.as_millis()
    )]
    Late {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
        /// The hook.
        hook: String,
        /// What it was given.
        timeout: Duration,
    },
    /// It runs on from another time.
    #[error(
        "the hook `{hook}` of {plugin} {version} still runs from another time; wait until it ends, or restart the host"
    )]
    StillRuns {
        /// The plugin.
        plugin: String,
        /// Its version.
        version: Version,
        /// The hook.
        hook: String,
    },
    /// The host ends.
    #[error("the host ended while the hook `{0}` ran")]
    HostEnds(String),
}

impl Actors {
    /// Runs a hook of `code` on the data plane, where blocking is allowed, and waits for
    /// its end for as long as `timeout`.
    ///
    /// # Errors
    ///
    /// [`HookError`]
    pub async fn run_hook(
        self: &Arc<Self>,
        code: &Arc<Code>,
        hook: &str,
        timeout: Duration,
    ) -> Result<(), HookError> {
        let plugin = code.plugin().name().to_owned();
        let version = code.version().clone();
        let key: Hook = (plugin, version, hook.to_owned());
        if !self.hooks.lock().insert(key.clone()) {
            let (plugin, version, hook) = key;
            return Err(HookError::StillRuns {
                plugin,
                version,
                hook,
            });
        }
        let (actors, code, own) = (Arc::clone(self), Arc::clone(code), key.clone());
        let run = self.data.spawn_blocking(move || {
            let ended = code.plugin().run(&Call {
                key: "",
                event: &own.2,
                payload: b"",
                claims: b"",
                now_ms: unix_ms(),
                seed: seed::next(),
                seq: 0,
                caller: Caller::CLIENT,
                hops: 0,
            });
            actors.hooks.lock().remove(&own);
            ended
        });
        let (plugin, version, hook) = key;
        let warn = async {
            tokio::time::sleep(HANDLER_WARN).await;
            tracing::warn!(plugin, %version, hook, "a hook has run for too long");
            std::future::pending().await
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(timeout, run) => ended,
            never = warn => never,
        };
        match ended {
            Ok(Ok(Ok(Ok(())))) => Ok(()),
            Ok(Ok(Ok(Err(rejection)))) => Err(HookError::Rejected {
                plugin,
                version,
                hook,
                rejection,
            }),
            Ok(Ok(Err(fault))) => Err(HookError::Broke { hook, fault }),
            Ok(Err(_)) => Err(HookError::HostEnds(hook)),
            Err(_) => Err(HookError::Late {
                plugin,
                version,
                hook,
                timeout,
            }),
        }
    }
}
