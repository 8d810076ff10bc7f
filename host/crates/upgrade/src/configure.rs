//! Gives plugins what they are to work with.

use std::fmt;

use host_actors::Code;
use host_model::Version;
use host_model::error::chain;
use host_model::release::ReleasePlugin;
use serde_json::Value;

use crate::assemble::{AssembleError, Assembler};
use crate::releases::Unpacked;

/// What a plugin of a release is to work with: a JSON object as bytes, or all that is
/// wrong with it, a sentence each.
pub type PluginConfig =
    dyn Fn(&Unpacked, &ReleasePlugin) -> Result<Vec<u8>, Vec<String>> + Send + Sync;

impl Assembler {
    /// The same, giving plugins what `config` says, before they rule.
    #[must_use]
    pub fn configuring(mut self, config: Box<PluginConfig>) -> Self {
        self.config = Some(config);
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

    /// Gives one plugin what it is to work with.
    pub(crate) fn configure(
        &self,
        release: &Unpacked,
        plugin: &ReleasePlugin,
        code: &Code,
    ) -> Result<(), AssembleError> {
        let failed = |problems| AssembleError::Configure {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            problems,
        };
        if self.config.is_none() {
            return Ok(());
        }
        if code.plugin().manifest().settings != plugin.settings {
            let why = "the manifest of its release says that it has other settings than it has; build the release again";
            return Err(failed(vec![why.to_owned()]));
        }
        let Some(config) = self.config_of(release, plugin) else {
            return Ok(());
        };
        let config = config.map_err(failed)?;
        let told = match code.plugin().configure(&config) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(rejection)) => rejection.message,
            Err(fault) => fault.to_string(),
        };
        Err(failed(vec![without_secrets(told, plugin, &config)]))
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
