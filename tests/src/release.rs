//! Releases of a test's own, put together from what is built.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

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

/// Where the libraries lie that the profile `dev` made: beside the tests' own programs.
#[must_use]
pub fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors()
        .nth(2)
        .map(Path::to_owned)
        .unwrap_or_default()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
