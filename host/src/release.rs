//! Puts built libraries together as a release.
//!
//! A release file says what is in it (`name`, `version`, `upgrade_scripts`, and a
//! `[[plugin]]` with `path` and `start` for each). What a plugin is called is what
//! its library says: each is opened, in a child, before it goes in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use host_cli::args::Release as ReleaseCommand;
use host_cli::{Failure, Output};
use host_journal::RESERVED;
use host_loader::Digest;
use host_model::Version;
use host_model::appup::Appup;
use host_model::manifest::PluginManifest;
use host_model::release::{ReleaseFile, ReleaseManifest, ReleasePlugin, Start};
use serde::Deserialize;

use crate::inspect;

/// A release file. Its paths are relative to the folder that the command runs in.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    name: String,
    version: Version,
    /// The folder of the appups; those of this release's plugins go in.
    upgrade_scripts: PathBuf,
    /// The release's own `host.toml`.
    #[serde(default)]
    host_toml: Option<PathBuf>,
    /// The release's own `env`.
    #[serde(default)]
    env: Option<PathBuf>,
    #[serde(rename = "plugin")]
    plugins: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    /// `plugins/NAME/VERSION`.
    path: PathBuf,
    #[serde(default)]
    start: Start,
}

/// `host release ...`
pub(crate) fn run(command: ReleaseCommand, out: &mut Output<'_>) -> Result<u8, Failure> {
    let ReleaseCommand::Assemble {
        manifest,
        target_dir,
        out: dir,
    } = command;
    let ask = |library: &Path| inspect::manifest(library).map_err(anyhow::Error::from);
    let release = assemble(&manifest, &target_dir, &dir, ask)
        .map_err(|e| Failure::refused("assemble", format!("assemble {}: {e:#}", dir.display())))?;
    out.document(&release, |release| {
        format!("{} {} in {}", release.name, release.version, dir.display())
    })?;
    Ok(0)
}

/// Assembles the release of the file `recipe` in `dir`, which appears as a whole
/// or not at all. `ask` opens a library and says what it is.
fn assemble(
    recipe: &Path,
    target_dir: &Path,
    dir: &Path,
    ask: impl Fn(&Path) -> Result<PluginManifest>,
) -> Result<ReleaseManifest> {
    let text = fs::read_to_string(recipe).with_context(|| format!("read {}", recipe.display()))?;
    let recipe: Recipe =
        toml::from_str(&text).with_context(|| format!("read {}", recipe.display()))?;
    ensure!(!dir.exists(), "it is there already; remove it first");
    let parent = dir.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    // Beside it, so that the last step is a rename; and not named like a version.
    let partial = tempfile::Builder::new()
        .prefix(".assemble-")
        .tempdir_in(parent)
        .with_context(|| format!("make a folder in {}", parent.display()))?;
    let release = fill(&recipe, target_dir, partial.path(), ask)?;
    let mut manifest = serde_json::to_string_pretty(&release)?;
    manifest.push('\n');
    write(&partial.path().join("manifest.json"), manifest.as_bytes())?;
    let partial = partial.keep();
    readable(&partial)?;
    fs::rename(&partial, dir).with_context(|| format!("rename {}", partial.display()))?;
    Ok(release)
}

/// Puts everything but the manifest into `dir`.
fn fill(
    recipe: &Recipe,
    target_dir: &Path,
    dir: &Path,
    ask: impl Fn(&Path) -> Result<PluginManifest>,
) -> Result<ReleaseManifest> {
    let host = put(&target_dir.join("host"), dir, Path::new("bin/host"))?;
    let mut config = Vec::new();
    for (file, name) in [(&recipe.host_toml, "host.toml"), (&recipe.env, "env")] {
        if let Some(file) = file {
            config.push(put(file, dir, Path::new(name))?);
        }
    }
    let mut plugins = Vec::new();
    let mut upgrade_scripts = Vec::new();
    for part in &recipe.plugins {
        let library = target_dir.join(library_name(&part.path)?);
        let PluginManifest { name, version, .. } = ask(&library)?;
        ensure!(
            part.path.ends_with(format!("{name}/{version}")),
            "{} says that it is {name} {version}, and the release file names {}",
            library.display(),
            part.path.display()
        );
        ensure!(
            name != RESERVED,
            "{} is called {RESERVED}, which is kept for the host's own records; call it otherwise",
            library.display()
        );
        let file = PathBuf::from(format!("plugins/{name}-{version}.so"));
        let appup = format!("{name}-{version}.toml");
        plugins.push(ReleasePlugin {
            sha256: put(&library, dir, &file)?.sha256,
            name,
            version,
            file,
            start: part.start,
        });
        // The first version of a plugin has none.
        let script = recipe.upgrade_scripts.join(&appup);
        if script.exists() {
            let text = fs::read_to_string(&script)
                .with_context(|| format!("read {}", script.display()))?;
            Appup::parse(&appup, &text)?;
            let file = Path::new("upgrade-scripts").join(&appup);
            upgrade_scripts.push(put(&script, dir, &file)?);
        }
    }
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = plugins.windows(2).find(|pair| pair[0].name == pair[1].name) {
        bail!("the plugin {} is in it twice", pair[0].name);
    }
    Ok(ReleaseManifest {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        // The host that assembles is the host that goes in: one workspace, one version.
        host: host_version(),
        host_sha256: host.sha256,
        target: target(),
        libc: libc_version()?,
        plugins,
        upgrade_scripts,
        config,
    })
}

/// Version of this program.
pub(crate) fn host_version() -> Version {
    let version = env!("CARGO_PKG_VERSION").parse();
    version.expect("cargo checks a package's version")
}

/// The target triple that this program was built for: Linux with glibc is all there is.
pub(crate) fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Copies `from` to `file` in `dir`, and says its digest.
fn put(from: &Path, dir: &Path, file: &Path) -> Result<ReleaseFile> {
    let to = dir.join(file);
    let folder = to.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::copy(from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    // Of the copy: that is what the manifest speaks of.
    let bytes = fs::read(&to).with_context(|| format!("read {}", to.display()))?;
    Ok(ReleaseFile {
        file: file.to_owned(),
        sha256: Digest::of(&bytes).to_string(),
    })
}

/// The library that cargo builds of the package in `plugins/NAME/VERSION`.
fn library_name(path: &Path) -> Result<String> {
    let mut parts = path
        .iter()
        .rev()
        .map(|part| part.to_str().unwrap_or_default());
    match (parts.next(), parts.next()) {
        (Some(version), Some(name)) if Version::parse(version).is_ok() && !name.is_empty() => {
            let id = format!("{name}_v{version}").replace(['.', '-', '+'], "_");
            Ok(format!("lib{id}.so"))
        }
        _ => bail!(
            "{} is no path of a plugin, plugins/NAME/VERSION",
            path.display()
        ),
    }
}

/// The glibc of this machine: what is built here is only known to run on it and
/// later ones.
fn libc_version() -> Result<String> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .context("run getconf GNU_LIBC_VERSION")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("glibc ") {
        Some(version) => Ok(version.to_owned()),
        None => bail!("getconf GNU_LIBC_VERSION says {text:?}; releases are for glibc only"),
    }
}

/// A temporary folder is its maker's alone; a release is for whoever runs it.
fn readable(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("change the mode of {}", dir.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests;
