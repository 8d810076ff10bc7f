//! Gives plugins what they are to work with.

use std::fmt;
use std::sync::Arc;

use host_actors::Code;
use host_model::Version;
use host_model::error::chain;
use host_model::limits::{OTHERS_CONFIGURE_TIMEOUT, PLUGIN_START_TIMEOUT};
use host_model::release::ReleasePlugin;
use serde_json::Value;

use crate::assemble::{AssembleError, Assembler};
use crate::releases::Unpacked;

mod aside;

pub(crate) use aside::Aside;
use aside::Came;

/// What a plugin of a release is to work with: a JSON object as bytes, or all that is
/// wrong with it, a sentence each.
pub type PluginConfig =
    dyn Fn(&Unpacked, &ReleasePlugin) -> Result<Vec<u8>, Vec<String>> + Send + Sync;

impl Assembler {
    /// The same, giving plugins what `config` says, before they rule.
    #[must_use]
    pub fn configuring(mut self, config: Box<PluginConfig>) -> Self {
        self.config = Some(Arc::from(config));
        self
    }

    /// Gives the plugins of a release that are open what they are to work with by now: all
    /// of them, or none where what is set is wrong. Blocking.
    ///
    /// # Errors
    ///
    /// Everything that is wrong. A plugin that refuses what is right by its own declaration
    /// keeps what it had.
    pub fn reconfigure(&self, version: &Version) -> Result<(), Vec<String>> {
        let release = self.releases().read(version);
        let release = release.map_err(|error| vec![chain(&error)])?;
        let plugins = release.manifest.plugins.iter();
        let plugins = plugins.filter(|plugin| !plugin.settings.is_empty());
        let open: Vec<_> = plugins
            .filter_map(|plugin| Some((plugin, self.opened(&plugin.sha256)?)))
            .collect();
        let read: Vec<_> = open
            .iter()
            .filter_map(|(plugin, _)| self.config_of(&release, plugin)?.err())
            .flatten()
            .collect();
        if !read.is_empty() {
            return Err(read);
        }
        let gave = open
            .iter()
            .filter_map(|(plugin, code)| self.configure(&release, plugin, code).err());
        let problems: Vec<_> = gave.map(|error| error.to_string()).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }

    /// What a plugin is to work with; none where it has no settings, or nobody says.
    pub(crate) fn config_of(
        &self,
        release: &Unpacked,
        plugin: &ReleasePlugin,
    ) -> Option<Result<Vec<u8>, Vec<String>>> {
        let config = self
            .config
            .as_ref()
            .filter(|_| !plugin.settings.is_empty())?;
        Some(config(release, plugin))
    }

    /// Gives one plugin what it is to work with, in place: for as long as that takes.
    pub(crate) fn configure(
        &self,
        release: &Unpacked,
        plugin: &ReleasePlugin,
        code: &Arc<Code>,
    ) -> Result<(), AssembleError> {
        let Some(config) = &self.config else {
            return Ok(());
        };
        let given = Given::new(release, plugin, code);
        let Some(read) = given.read(config)? else {
            return Ok(());
        };
        self.aside.overtake(code.plugin().digest(), &given);
        given.tell(&read)
    }

    /// The same of a library that does not rule, for which it is waited for longer where it
    /// `is_needed`. It may decide again on a way back; until then it need not be in order, and
    /// one that does not return keeps nobody from going on: neither a start nor a way back.
    pub(crate) fn configure_aside(
        &self,
        release: &Unpacked,
        plugin: &ReleasePlugin,
        code: &Arc<Code>,
        is_needed: bool,
    ) -> Result<(), AssembleError> {
        let Some(config) = &self.config else {
            return Ok(());
        };
        let given = Given::new(release, plugin, code);
        if given.read(config)?.is_none() {
            return Ok(());
        }
        let name = format!("configure {}", plugin.name);
        let of = code.plugin().digest();
        let wait = match is_needed {
            true => PLUGIN_START_TIMEOUT,
            false => OTHERS_CONFIGURE_TIMEOUT,
        };
        let call = {
            let config = Arc::clone(config);
            move |given: &Given| match given.read(&config)? {
                Some(read) => given.tell(&read),
                None => Ok(()),
            }
        };
        let late = {
            let (plugin, version) = (plugin.name.clone(), plugin.version.clone());
            move |gave| back_late(&plugin, &version, gave)
        };
        let came = self.aside.call(of, name, given.clone(), wait, call, late);
        match came {
            Ok(Came::Back(gave)) => gave,
            Ok(Came::GivenUp) => {
                tracing::warn!(
                    plugin = plugin.name,
                    version = %plugin.version,
                    waited_s = wait.as_secs(),
                    "a plugin of another release does not return from `configure` and is waited for no longer: it has the configuration that it had before, or none, and what needs it of states and messages of that version fails until it returns or its release is upgraded to"
                );
                Ok(())
            }
            Ok(Came::StillOut) if is_needed && self.aside.returns(of, wait) => Ok(()),
            Ok(Came::StillOut) => {
                tracing::warn!(
                    plugin = plugin.name,
                    version = %plugin.version,
                    "a plugin of another release has not returned from `configure` yet"
                );
                Ok(())
            }
            Err(error) => Err(given.failed(vec![error.to_string()])),
        }
    }
}

/// One that was given up has returned, and was given what is set by now.
fn back_late(plugin: &str, version: &Version, gave: Result<(), AssembleError>) {
    match gave {
        Ok(()) => tracing::info!(
            plugin,
            %version,
            "a plugin of another release has returned from `configure` after all, and has what is set now"
        ),
        Err(error) => tracing::warn!(
            plugin,
            %version,
            error = chain(&error),
            "a plugin of another release has returned from `configure` after all, and does not take what is set now"
        ),
    }
}

/// A library, and the plugin of a release as which it is configured.
#[derive(Clone)]
pub(crate) struct Given {
    release: Unpacked,
    plugin: ReleasePlugin,
    code: Arc<Code>,
}

impl Given {
    fn new(release: &Unpacked, plugin: &ReleasePlugin, code: &Arc<Code>) -> Self {
        Self {
            release: release.clone(),
            plugin: plugin.clone(),
            code: Arc::clone(code),
        }
    }

    fn failed(&self, problems: Vec<String>) -> AssembleError {
        AssembleError::Configure {
            plugin: self.plugin.name.clone(),
            version: self.plugin.version.clone(),
            problems,
        }
    }

    /// What is set for it; none where it has no settings.
    fn read(&self, config: &Arc<PluginConfig>) -> Result<Option<Vec<u8>>, AssembleError> {
        if self.code.plugin().manifest().settings != self.plugin.settings {
            let why = "the manifest of its release says that it has other settings than it has; build the release again";
            return Err(self.failed(vec![why.to_owned()]));
        }
        if self.plugin.settings.is_empty() {
            return Ok(None);
        }
        let read = config(&self.release, &self.plugin);
        read.map(Some).map_err(|problems| self.failed(problems))
    }

    fn tell(&self, config: &[u8]) -> Result<(), AssembleError> {
        let told = match self.code.plugin().configure(config) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(rejection)) => rejection.message,
            Err(fault) => fault.to_string(),
        };
        Err(self.failed(vec![without_secrets(told, &self.plugin, config)]))
    }
}

/// A plugin may repeat what it refuses.
pub(crate) fn without_secrets(mut told: String, plugin: &ReleasePlugin, config: &[u8]) -> String {
    let config: Value = serde_json::from_slice(config).unwrap_or_default();
    for setting in plugin.settings.iter().filter(|setting| setting.secret) {
        let value = match &config[&setting.name] {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        told = told.replace(&value, "<secret>");
    }
    told
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler").finish_non_exhaustive()
    }
}
