//! What cargo builds: the plugins of a release, and its host where the workspace has it.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand, Package, PackageId, TargetKind};
use host_model::Version;

use crate::recipe::Recipe;

/// The package, and its program, that is the host.
const HOST: &str = "host";

/// What is to be built.
#[derive(Debug)]
pub struct Request<'a> {
    /// A folder of the workspace.
    pub workspace: &'a Path,
    /// The release file.
    pub recipe: &'a Recipe,
    /// Cargo's profile.
    pub profile: &'a str,
    /// Where cargo puts what it builds; the workspace's own folder if absent.
    pub target_dir: Option<&'a Path>,
    /// The target triple that the release is for, to know which libraries are in it.
    pub target: &'a str,
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// What cargo knows of the workspace.
    pub metadata: Metadata,
    /// The host's program and version, where it is of this workspace.
    pub host: Option<(PathBuf, Version)>,
    /// The plugins' libraries, in the release file's order.
    pub libraries: Vec<PathBuf>,
    /// The packages that all of it comes from.
    pub roots: Vec<PackageId>,
}

/// Builds with `cargo build --locked`, which tells on standard error how far it is.
///
/// # Errors
///
/// A path of the release file is no plugin's, or cargo fails.
pub fn build(request: &Request<'_>) -> Result<Built> {
    let metadata = metadata(request)?;
    let root = metadata.workspace_root.as_std_path();
    let packages = metadata.workspace_packages();
    let mut plugins = Vec::new();
    for part in &request.recipe.plugins {
        let folder = root.join(&part.path);
        let lies_there = |it: &&&Package| it.manifest_path.parent().is_some_and(|p| p == folder);
        let found = packages.iter().find(lies_there).with_context(|| {
            format!(
                "the release file names {}, and the workspace {} has no package there; paths are relative to the workspace",
                part.path.display(),
                root.display()
            )
        })?;
        ensure!(
            found
                .targets
                .iter()
                .any(|it| it.kind.contains(&TargetKind::CDyLib)),
            "{} is no plugin: it needs `crate-type = [\"cdylib\"]` under [lib] in {}",
            found.name,
            found.manifest_path
        );
        plugins.push(*found);
    }
    let is_host = |it: &&&Package| it.name == HOST && it.targets.iter().any(|t| t.is_bin());
    let host = packages.iter().find(is_host).copied();
    let roots: Vec<&Package> = plugins.iter().copied().chain(host).collect();
    let artifacts = run(request, &metadata, &roots)?;
    let made = |package: &Package, wanted: fn(&Artifact) -> bool| {
        let mut own = artifacts.iter().filter(|it| it.package == package.id);
        let found = own.find(|it| wanted(it)).map(|it| it.file.clone());
        found.with_context(|| {
            format!(
                "cargo has built {}, and says of no file where it is",
                package.name
            )
        })
    };
    let libraries = plugins
        .iter()
        .map(|it| made(it, |made| made.kind == Kind::Library));
    Ok(Built {
        libraries: libraries.collect::<Result<_>>()?,
        host: match host {
            Some(host) => Some((
                made(host, |made| made.kind == Kind::Program)?,
                host.version.clone(),
            )),
            None => None,
        },
        roots: roots.iter().map(|it| it.id.clone()).collect(),
        metadata,
    })
}

fn metadata(request: &Request<'_>) -> Result<Metadata> {
    let mut command = MetadataCommand::new();
    command.current_dir(request.workspace);
    command.other_options(["--locked", "--filter-platform", request.target].map(str::to_owned));
    let found = command.exec();
    // As cargo says it of a lock file that is not there, too.
    let is_behind = found
        .as_ref()
        .is_err_and(|error| error.to_string().contains("--locked was passed"));
    found.with_context(|| {
        let workspace = request.workspace.display();
        match is_behind {
            false => format!("ask cargo about the workspace in {workspace}"),
            true => format!(
                "the Cargo.lock of the workspace in {workspace} is not there or lacks something, such as a new plugin, and a release is built from what stands in it: run `cargo build` there once, and commit the Cargo.lock with it; cargo says"
            ),
        }
    })
}

/// A file that cargo has built.
struct Artifact {
    package: PackageId,
    kind: Kind,
    file: PathBuf,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Library,
    Program,
}

fn run(request: &Request<'_>, metadata: &Metadata, roots: &[&Package]) -> Result<Vec<Artifact>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(metadata.workspace_root.as_std_path())
        .args(["build", "--locked", "--profile", request.profile])
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(dir) = request.target_dir {
        command.arg("--target-dir").arg(dir);
    }
    for package in roots {
        command.args(["-p", &package.id.repr]);
    }
    let mut child = command.spawn().context("run cargo build")?;
    let said = child.stdout.take().context("cargo has an output")?;
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(BufReader::new(said)) {
        if let Message::CompilerArtifact(made) = message.context("read what cargo says")? {
            artifacts.extend(artifact(&made));
        }
    }
    let ended = child.wait().context("wait for cargo")?;
    ensure!(
        ended.success(),
        "cargo build has failed, and says above why"
    );
    Ok(artifacts)
}

fn artifact(made: &cargo_metadata::Artifact) -> Option<Artifact> {
    let (kind, file) = match &made.executable {
        Some(program) if made.target.name == HOST => (Kind::Program, program),
        Some(_) => return None,
        None => {
            let mut files = made.filenames.iter();
            (
                Kind::Library,
                files.find(|it| it.extension() == Some("so"))?,
            )
        }
    };
    Some(Artifact {
        package: made.package_id.clone(),
        kind,
        file: file.clone().into(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lock_file_that_lacks_something_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "[package]\nname = \"tally\"\nversion = \"0.1.0\"\n[workspace]\n";
        fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("src/lib.rs"), "").unwrap();
        let recipe = Recipe {
            name: "tally".to_owned(),
            version: Version::new(0, 1, 0),
            upgrade_scripts: "upgrade-scripts".into(),
            host_toml: None,
            env: None,
            plugins: Vec::new(),
        };
        for lock in [None, Some("version = 4\n")] {
            if let Some(lock) = lock {
                fs::write(dir.path().join("Cargo.lock"), lock).unwrap();
            }
            let error = build(&Request {
                workspace: dir.path(),
                recipe: &recipe,
                profile: "release",
                target_dir: None,
                target: "x86_64-unknown-linux-gnu",
            })
            .unwrap_err();
            let said = format!("{error:#}");
            assert!(said.contains("run `cargo build` there once"), "{said}");
        }
    }
}
