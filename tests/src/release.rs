//! Releases of a test's own, put together from what is built.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::Running;
use crate::home::Home;

/// Puts a release of these plugins (`plugins/NAME/VERSION`) into the home, with these
/// appups (file name and text), and any other of that version out of it.
///
/// # Errors
///
/// What `host release assemble` said.
pub fn assemble(
    home: &Home,
    version: &str,
    plugins: &[&str],
    appups: &[(&str, &str)],
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scripts = folder.path().join("upgrade-scripts");
    fs::create_dir(&scripts)?;
    for (file, text) in appups {
        fs::write(scripts.join(file), text)?;
    }
    let mut recipe = format!(
        "name = \"test\"\nversion = \"{version}\"\nupgrade_scripts = {:?}\n",
        scripts.display().to_string()
    );
    for plugin in plugins {
        write!(recipe, "\n[[plugin]]\npath = \"{plugin}\"\n")?;
    }
    let file = folder.path().join("release.toml");
    fs::write(&file, recipe)?;
    let out = home.path().join("releases").join(version);
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
    }
    let (file, target, out) = (text(&file), text(&built()), text(&out));
    let mut command = home.command(&[
        "release",
        "assemble",
        "--manifest",
        &file,
        "--target-dir",
        &target,
        "--out",
        &out,
    ]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    Running::spawn(command)?.end()?.ok().map(drop)
}

/// Puts a plugin into a release that does `behaviour` when it is started: `raw` of
/// `plugins/hostile` says what there is.
///
/// # Errors
///
/// That it is not built, or that the release cannot be written.
pub fn add_raw(release: &Path, behaviour: &str) -> Result<()> {
    const MARKER: &[u8] = b"BEHAVIOUR=fine                  ";
    let mut library = fs::read(built().join("libraw_v0_1_0.so")).context("is `raw` built?")?;
    let text = format!("{:<1$}", format!("BEHAVIOUR={behaviour}"), MARKER.len());
    let at = library
        .windows(MARKER.len())
        .position(|it| it == MARKER)
        .context("`raw` has its marker")?;
    library[at..at + MARKER.len()].copy_from_slice(text.as_bytes());
    let digest = ring::digest::digest(&ring::digest::SHA256, &library);
    let digest = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));

    let file = release.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file)?)?;
    let plugins = manifest["plugins"].as_array_mut();
    let plugins = plugins.context("a release has plugins")?;
    let mut raw = plugins.first().cloned().context("it has one at least")?;
    raw["name"] = "raw".into();
    raw["version"] = "0.1.0".into();
    raw["file"] = "plugins/raw-0.1.0.so".into();
    raw["sha256"] = digest.collect::<String>().into();
    // As of a release that does not say it.
    if let Some(raw) = raw.as_object_mut() {
        raw.remove("shape");
    }
    plugins.push(raw);
    fs::write(release.join("plugins/raw-0.1.0.so"), library)?;
    fs::remove_file(&file)?;
    Ok(fs::write(file, serde_json::to_vec(&manifest)?)?)
}

/// Where the libraries lie that were built with the program that runs: beside it, or
/// above it where it is a test.
#[must_use]
pub fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().map(Path::to_owned).unwrap_or_default();
    match folder.ends_with("deps") {
        true => folder.parent().map(Path::to_owned).unwrap_or_default(),
        false => folder,
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
