//! Puts built files together as an unpacked release.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use host_loader::Digest;
use host_model::Version;
use host_model::appup::Appup;
use host_model::manifest::PluginManifest;
use host_model::release::{PROGRAM, PluginShape, ReleaseFile, ReleaseManifest, ReleasePlugin};
use host_model::setting::PluginSetting;
use host_package::bytes_max;

use crate::recipe::Recipe;
use crate::{elf, secrets};

/// What a release is put together from.
pub struct Inputs<'a> {
    /// The release file.
    pub recipe: &'a Recipe,
    /// The folder that its paths are relative to.
    pub base: &'a Path,
    /// The program of its host.
    pub host: &'a Path,
    /// Which host that is.
    pub host_version: &'a Version,
    /// The target triple that all of it was built for.
    pub target: &'a str,
    /// The libraries of the plugins, in the release file's order.
    pub libraries: &'a [PathBuf],
    /// Further files, by name.
    pub documents: &'a [(String, Vec<u8>)],
    /// Whether to leave debug information out.
    pub strip: bool,
    /// A name that no plugin may have.
    pub reserved: &'a str,
    /// Opens a library, in a child, and says what it is.
    pub ask: &'a dyn Fn(&Path) -> Result<PluginManifest>,
}

/// Assembles a release in `dir`, which appears as a whole or not at all.
///
/// # Errors
///
/// What is wrong with the release, or cannot be read or written.
pub fn assemble(inputs: &Inputs<'_>, dir: &Path) -> Result<ReleaseManifest> {
    ensure!(!dir.exists(), "it is there already; remove it first");
    let parent = dir.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    // Beside it, so that the last step is a rename; and not named like a version.
    let partial = tempfile::Builder::new()
        .prefix(".assemble-")
        .tempdir_in(parent)
        .with_context(|| format!("make a folder in {}", parent.display()))?;
    let release = inputs.fill(partial.path())?;
    let mut manifest = serde_json::to_string_pretty(&release)?;
    manifest.push('\n');
    write(&partial.path().join("manifest.json"), manifest.as_bytes())?;
    let partial = partial.keep();
    // A temporary folder is its maker's alone; a release is for whoever runs it.
    mode(&partial, 0o755)?;
    fs::rename(&partial, dir).with_context(|| format!("rename {}", partial.display()))?;
    Ok(release)
}

impl Inputs<'_> {
    /// Puts everything but the manifest into `dir`.
    fn fill(&self, dir: &Path) -> Result<ReleaseManifest> {
        let mut into = Into {
            dir,
            libc: elf::Glibc::default(),
        };
        let host = into.code(self.host, Path::new(PROGRAM), self.strip)?;
        mode(&dir.join(PROGRAM), 0o755)?;
        let recipe = self.recipe;
        let mut config = Vec::new();
        for (file, name) in [(&recipe.host_toml, "host.toml"), (&recipe.env, "env")] {
            if let Some(file) = file {
                config.push(into.text(&self.base.join(file), Path::new(name))?);
            }
        }
        let mut plugins = Vec::new();
        let mut upgrade_scripts = Vec::new();
        for (part, library) in recipe.plugins.iter().zip(self.libraries) {
            let said = (self.ask)(library)?;
            let shape = Some(PluginShape::from(&said));
            let PluginManifest {
                name,
                version,
                settings,
                ..
            } = said;
            let wanted = format!("{name}/{version}");
            // A workspace of one version each may lie as its author likes.
            let says_a_version = part
                .path
                .file_name()
                .is_some_and(|last| Version::parse(&last.to_string_lossy()).is_ok());
            ensure!(
                !says_a_version || part.path.ends_with(&wanted),
                "{} says that it is {name} {version}, and the release file names {}",
                library.display(),
                part.path.display()
            );
            ensure!(
                name != self.reserved,
                "{} is called {name}, which is kept for the host's own records; call it otherwise",
                library.display()
            );
            let sound = settings.iter().try_for_each(PluginSetting::check);
            if let Err(problem) = sound {
                bail!("{}: {problem}", library.display());
            }
            let file = PathBuf::from(format!("plugins/{name}-{version}.so"));
            let appup = format!("{name}-{version}.toml");
            plugins.push(ReleasePlugin {
                sha256: into.code(library, &file, self.strip)?.sha256,
                name,
                version,
                file,
                start: part.start,
                settings,
                shape,
            });
            // The first version of a plugin has none.
            let script = self.base.join(&recipe.upgrade_scripts).join(&appup);
            if script.exists() {
                let file = Path::new("upgrade-scripts").join(&appup);
                let text = fs::read_to_string(&script)
                    .with_context(|| format!("read {}", script.display()))?;
                Appup::parse(&appup, &text)?;
                upgrade_scripts.push(into.text(&script, &file)?);
            }
        }
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        upgrade_scripts.sort_by(|a, b| a.file.cmp(&b.file));
        if let Some(pair) = plugins.windows(2).find(|pair| pair[0].name == pair[1].name) {
            bail!("the plugin {} is in it twice", pair[0].name);
        }
        let mut documents = Vec::new();
        for (name, bytes) in self.documents {
            documents.push(into.bytes(bytes, Path::new(name))?);
        }
        Ok(ReleaseManifest {
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            host: self.host_version.clone(),
            host_sha256: host.sha256,
            target: self.target.to_owned(),
            libc: into.libc.to_string(),
            plugins,
            upgrade_scripts,
            config,
            documents,
        })
    }
}

/// A release's folder, and what its code needs.
struct Into<'a> {
    dir: &'a Path,
    libc: elf::Glibc,
}

impl Into<'_> {
    /// A program or a library.
    fn code(&mut self, from: &Path, file: &Path, strip: bool) -> Result<ReleaseFile> {
        let bytes = read(from)?;
        let of = || format!("look into {}", from.display());
        self.libc.need(elf::glibc(&bytes).with_context(of)?);
        match strip {
            true => self.bytes(&elf::stripped(&bytes).with_context(of)?, file),
            false => self.bytes(&bytes, file),
        }
    }

    /// A file that people write, and that must hold no secret.
    fn text(&self, from: &Path, file: &Path) -> Result<ReleaseFile> {
        let bytes = read(from)?;
        secrets::refuse(from, &String::from_utf8_lossy(&bytes))?;
        self.bytes(&bytes, file)
    }

    fn bytes(&self, bytes: &[u8], file: &Path) -> Result<ReleaseFile> {
        let most = bytes_max(file)
            .with_context(|| format!("{} is no file of a release", file.display()))?;
        ensure!(
            bytes.len() as u64 <= most,
            "{} has {} bytes, and such a file may have {most}",
            file.display(),
            bytes.len()
        );
        let to = self.dir.join(file);
        let folder = to.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        write(&to, bytes)?;
        Ok(ReleaseFile {
            file: file.to_owned(),
            sha256: Digest::of(bytes).to_string(),
        })
    }
}

fn mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("change the mode of {}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests;
