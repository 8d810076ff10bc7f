//! `host release ...`: what this program gives to the making of releases.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};
use host_build::{Image, Inputs, Recipe, Request, build, documents, image, pack, read_key};
use host_cli::args::{Build, Release as ReleaseCommand};
use host_cli::{Failure, Output};
use host_journal::RESERVED;
use host_model::Version;
use host_model::manifest::PluginManifest;
use host_model::release::ReleaseManifest;
use host_package::MANIFEST;
use serde_json::json;

use crate::inspect;

/// `host release ...`
pub(crate) fn run(command: ReleaseCommand, out: &mut Output<'_>) -> Result<u8, Failure> {
    match command {
        ReleaseCommand::Build(asked) => {
            let attempted = format!("build the release of {}", asked.manifest.display());
            make(&asked, out).map_err(|e| failed(&attempted, &e))
        }
        ReleaseCommand::Image { dir, out: to } => {
            let attempted = format!("make an image of {}", dir.display());
            let made = image_of(&dir, &to).map_err(|e| failed(&attempted, &e))?;
            out.document(&json!({"file": made.file, "bytes": made.bytes}), |_| {
                let mib = made.bytes.div_ceil(1 << 20);
                format!("{} ({mib} MiB)", made.file.display())
            })?;
            Ok(0)
        }
        ReleaseCommand::Assemble {
            manifest,
            target_dir,
            out: dir,
            no_strip,
        } => {
            let attempted = format!("assemble {}", dir.display());
            let release = assemble(&manifest, &target_dir, &dir, !no_strip);
            let release = release.map_err(|e| failed(&attempted, &e))?;
            out.document(&release, |release| {
                format!("{} {} in {}", release.name, release.version, dir.display())
            })?;
            Ok(0)
        }
    }
}

/// `host gen keys FILE`
pub(crate) fn keys(file: &Path, out: &mut Output<'_>) -> Result<u8, Failure> {
    let made = host_build::generate(file);
    let made = made.map_err(|e| failed("make a pair of keys", &e))?;
    out.document(&json!({"secret": made.secret, "public": made.public}), |_| {
        format!(
            "{} signs releases, keep it secret: `host release build --sign {}`\n{} goes to every home, where TRUSTED_KEYS names it",
            made.secret.display(),
            made.secret.display(),
            made.public.display()
        )
    })?;
    Ok(0)
}

fn image_of(dir: &Path, out: &Path) -> Result<Image> {
    let file = dir.join(MANIFEST);
    let manifest = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let manifest: ReleaseManifest =
        serde_json::from_slice(&manifest).with_context(|| format!("read {}", file.display()))?;
    fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    image(&manifest, dir, Path::new("/"), out)
}

fn make(asked: &Build, out: &mut Output<'_>) -> Result<u8> {
    let recipe = Recipe::read(&asked.manifest)?;
    // Before anything is built: whoever mistypes it need not wait.
    let key = asked.sign.as_deref().map(read_key).transpose()?;
    let target = target();
    let built = build(&Request {
        workspace: &asked.workspace,
        recipe: &recipe,
        profile: &asked.profile,
        target_dir: asked.target_dir.as_deref(),
        target: &target,
    })?;
    let (host, host_version) = match &built.host {
        Some(host) => host.clone(),
        None => {
            let own = std::env::current_exe().context("find this program")?;
            (own, host_version())
        }
    };
    fs::create_dir_all(&asked.out).with_context(|| format!("make {}", asked.out.display()))?;
    let folder = tempfile::Builder::new()
        .prefix(".build-")
        .tempdir_in(&asked.out)
        .with_context(|| format!("make a folder in {}", asked.out.display()))?;
    let dir = folder.path().join("release");
    let release = host_build::assemble(
        &Inputs {
            recipe: &recipe,
            base: built.metadata.workspace_root.as_std_path(),
            host: &host,
            host_version: &host_version,
            target: &target,
            libraries: &built.libraries,
            documents: &documents(&recipe, &built.metadata, &built.roots)?,
            strip: !asked.no_strip,
            reserved: RESERVED,
            ask: &ask(&host),
        },
        &dir,
    )?;
    let packed = pack(&release, &dir, &asked.out, key.as_ref())?;
    let image = match asked.oci {
        true => Some(image(&release, &dir, Path::new("/"), &asked.out).context("make the image")?),
        false => None,
    };
    let document = json!({
        "name": release.name,
        "version": release.version,
        "image": image.as_ref().map(|it| json!({"file": it.file, "bytes": it.bytes})),
        "file": packed.file,
        "bytes": packed.bytes,
        "unpacked_bytes": packed.unpacked_bytes,
        "target": release.target,
        "libc": release.libc,
        "signed": key.is_some(),
    });
    out.document(&document, |_| {
        let image = image.as_ref().map_or_else(String::new, |it| {
            let mib = it.bytes.div_ceil(1 << 20);
            format!("\n{} ({mib} MiB) is an image of it", it.file.display())
        });
        format!(
            "{} ({} MiB, unpacked {} MiB) runs on {} with glibc {} or later{image}",
            packed.file.display(),
            packed.bytes.div_ceil(1 << 20),
            packed.unpacked_bytes.div_ceil(1 << 20),
            release.target,
            release.libc
        )
    })?;
    Ok(0)
}

/// Assembles what cargo has put into `target_dir`.
fn assemble(
    manifest: &Path,
    target_dir: &Path,
    dir: &Path,
    strip: bool,
) -> Result<ReleaseManifest> {
    let recipe = Recipe::read(manifest)?;
    let libraries: Result<Vec<_>> = recipe
        .plugins
        .iter()
        .map(|part| {
            let library = target_dir.join(library_name(&part.path)?);
            ensure!(
                library.exists(),
                "{} is not there: build {} with cargo first",
                library.display(),
                part.path.display()
            );
            Ok(library)
        })
        .collect();
    let host = std::path::absolute(target_dir.join("host"))?;
    let inputs = Inputs {
        recipe: &recipe,
        base: Path::new(""),
        host: &host,
        // The host that assembles is the host that goes in: one workspace, one version.
        host_version: &host_version(),
        target: &target(),
        libraries: &libraries?,
        documents: &[],
        strip,
        reserved: RESERVED,
        ask: &ask(&host),
    };
    host_build::assemble(&inputs, dir)
}

/// Asks a host what a library is. It is the one that goes in: cargo may have put it in the
/// place of the program that runs.
fn ask(host: &Path) -> impl Fn(&Path) -> Result<PluginManifest> {
    let host = host.to_owned();
    move |library| inspect::manifest_by(&host, library).map_err(Error::from)
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

fn failed(attempted: &str, error: &Error) -> Failure {
    Failure::refused("refused", format!("{attempted}: {error:#}"))
}

/// The absolute path of a file that a command names.
pub(crate) fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file)
        .map_err(|e| Failure::refused("bad_path", format!("find {}: {e}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_named_as_cargo_names_them() {
        for (path, name) in [
            ("plugins/donations/0.2.0", "libdonations_v0_2_0.so"),
            (
                "plugins/zakat-al-mal/1.0.0-rc.1",
                "libzakat_al_mal_v1_0_0_rc_1.so",
            ),
        ] {
            assert_eq!(library_name(Path::new(path)).unwrap(), name);
        }
        assert!(library_name(Path::new("plugins/donations")).is_err());
    }
}
