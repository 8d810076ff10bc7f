//! A release as a container image, made without a container engine: an OCI image layout in
//! one tar file, which `podman load`, `skopeo copy` and `docker load` take.
//!
//! There are two layers. The lower has what the release needs of the machine it was built
//! on: the dynamic linker and the shared libraries that its files name, the certificates
//! that are trusted there, and a user. The upper has the home: the release, and its host as
//! `bin/host`. The same inputs give the same bytes.
//!
//! Formats: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, GzBuilder};
use host_loader::Digest;
use host_model::release::{PROGRAM, ReleaseManifest, is_release_name};
use host_package::MANIFEST;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::elf;

/// The user that the host runs as: neither root nor one of the machine's.
const USER: u32 = 10_001;

/// Where `data`, `run`, `log` and `images` are, and installed releases: a volume.
const DATA: &str = "data";

/// Where programs that check certificates look for those they trust.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// An image that was made.
#[derive(Debug)]
pub struct Image {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
}

/// Makes the image `NAME-VERSION.oci.tar` of the release in the folder `dir`, in the folder
/// `out`. Libraries are taken from the file system at `root`, which is that of the machine
/// the release was built on. An older file of that name is replaced.
///
/// # Errors
///
/// A library that is not there, or what cannot be read or written.
pub fn image(release: &ReleaseManifest, dir: &Path, root: &Path, out: &Path) -> Result<Image> {
    // It is the name of a file and of folders, and a release that was unpacked by hand may
    // have any.
    ensure!(
        is_release_name(&release.name),
        "the manifest of {} has the name {:?}, and no release has; build it again",
        dir.display(),
        release.name
    );
    let layers = [base(release, dir, root)?, home(release, dir)?];
    let config = serde_json::to_vec(&config(release, &layers)?)?;
    let name = format!("{}:{}", release.name, release.version);
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(Layer::described).collect::<Vec<_>>(),
    }))?;
    let mut listed = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    listed["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    }))?;
    let [base, home] = layers;
    let mut archive = Archive::default();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    archive.file("index.json", index);
    for blob in [manifest, config, base.gzip, home.gzip] {
        archive.file(format!("blobs/sha256/{}", Digest::of(&blob)), blob);
    }
    let file = out.join(format!("{}-{}.oci.tar", release.name, release.version));
    let writing = || format!("write {}", file.display());
    let mut partial = tempfile::NamedTempFile::new_in(out).with_context(writing)?;
    let bytes = archive.tar()?;
    partial.write_all(&bytes).with_context(writing)?;
    crate::pack::readable(partial.as_file()).with_context(writing)?;
    partial.as_file().sync_all().with_context(writing)?;
    partial.persist(&file).with_context(writing)?;
    Ok(Image {
        file,
        bytes: bytes.len() as u64,
    })
}

/// What the release needs of the machine.
fn base(release: &ReleaseManifest, dir: &Path, root: &Path) -> Result<Layer> {
    let mut archive = Archive::default();
    let mut libraries = BTreeMap::new();
    for (file, _) in release.files() {
        let bytes = read(&dir.join(file))?;
        needed(&bytes, root, &mut libraries).with_context(|| file.display().to_string())?;
    }
    for (place, bytes) in libraries {
        archive.program(place, bytes);
    }
    let name = &release.name;
    archive.file(
        "etc/passwd",
        format!("root:x:0:0::/:/sbin/nologin\nhost:x:{USER}:{USER}:{name}:/{DATA}:/sbin/nologin\n"),
    );
    archive.file("etc/group", format!("root:x:0:\nhost:x:{USER}:\n"));
    // Names are looked up here first, and then asked for.
    archive.file("etc/nsswitch.conf", "hosts: files dns\n");
    if let Ok(trusted) = fs::read(root.join(CERTIFICATES)) {
        archive.file(CERTIFICATES, trusted);
    }
    archive.folder("tmp", 0o1777, 0);
    // Where an engine puts what the kernel shows; over a read-only root it cannot make them.
    for mounted in ["dev", "proc", "sys"] {
        archive.folder(mounted, 0o755, 0);
    }
    archive.folder(DATA, 0o750, USER);
    archive.layer()
}

/// The release as the only one of a home.
fn home(release: &ReleaseManifest, dir: &Path) -> Result<Layer> {
    let mut archive = Archive::default();
    let root = PathBuf::from(home_of(release));
    let own = format!("releases/{}", release.version);
    let own = root.join(own);
    archive.file(own.join(MANIFEST), read(&dir.join(MANIFEST))?);
    for (name, _) in release.files() {
        let bytes = read(&dir.join(name))?;
        match name == Path::new(PROGRAM) {
            true => archive.program(own.join(name), bytes),
            false => archive.file(own.join(name), bytes),
        }
    }
    archive.link(root.join(PROGRAM), own.join(PROGRAM));
    // Others may be put beside it, for a store that an earlier one has left.
    archive.file(root.join("releases/own"), format!("{}\n", release.version));
    archive.layer()
}

fn home_of(release: &ReleaseManifest) -> String {
    format!("opt/{}", release.name)
}

fn config(release: &ReleaseManifest, layers: &[Layer]) -> Result<Value> {
    let home = format!("/{}", home_of(release));
    let history = ["shared libraries", "the release"];
    let history =
        history.map(|it| json!({"created_by": "host release build --oci", "comment": it}));
    Ok(json!({
        "architecture": architecture(&release.target)?,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": [format!("PATH={home}/bin"), format!("HOST_DATA=/{DATA}")],
            "Cmd": ["bin/host", "start"],
            "WorkingDir": home,
            "Volumes": {format!("/{DATA}"): {}},
            "ExposedPorts": {"4000/tcp": {}},
            "StopSignal": "SIGTERM",
            "Labels": {
                "org.opencontainers.image.title": release.name,
                "org.opencontainers.image.version": release.version,
            },
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|it| format!("sha256:{}", it.diff)).collect::<Vec<_>>(),
        },
        "history": history,
    }))
}

/// As Go calls it, in whose words images are described.
fn architecture(target: &str) -> Result<&'static str> {
    Ok(match target.split('-').next() {
        Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        _ => bail!("no image can be made for {target}: only for x86_64 and aarch64"),
    })
}

/// Adds the libraries that a program or library needs, theirs too, by where they are.
fn needed(bytes: &[u8], root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let needs = elf::needs(bytes)?;
    let mut places: Vec<PathBuf> = Vec::new();
    // The dynamic linker is named with its path, and by libraries as one of them.
    if let Some(linker) = &needs.linker {
        places.push(linker.strip_prefix("/").unwrap_or(linker).to_owned());
    }
    for name in &needs.libraries {
        let is_there = found.keys().chain(&places).any(|it| it.ends_with(name));
        if !is_there {
            places.push(place(name, root)?);
        }
    }
    for place in places {
        if found.contains_key(&place) {
            continue;
        }
        let bytes = read(&root.join(&place))?;
        found.insert(place, bytes.clone());
        needed(&bytes, root, found)?;
    }
    Ok(())
}

/// Where dynamic linkers look that have no list of their own, and distributions put what
/// all programs need.
const PLACES: [&str; 8] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
];

fn place(name: &str, root: &Path) -> Result<PathBuf> {
    let places = PLACES.iter().map(|place| Path::new(place).join(name));
    let mut there = places.filter(|place| root.join(place).is_file());
    there
        .next()
        .with_context(|| format!("it needs {name}, which is in none of {}", PLACES.join(", ")))
}

/// A layer.
struct Layer {
    gzip: Vec<u8>,
    /// Of what is in it.
    diff: Digest,
}

impl Layer {
    fn described(&self) -> Value {
        described("application/vnd.oci.image.layer.v1.tar+gzip", &self.gzip)
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": format!("sha256:{}", Digest::of(bytes)),
        "size": bytes.len(),
    })
}

/// Files to be, by where they are.
#[derive(Default)]
struct Archive(BTreeMap<PathBuf, Entry>);

struct Entry {
    kind: EntryType,
    mode: u32,
    user: u32,
    content: Vec<u8>,
    /// The file that this is, of a link.
    of: Option<PathBuf>,
}

impl Archive {
    fn put(&mut self, place: PathBuf, kind: EntryType, mode: u32, content: Vec<u8>) -> &mut Entry {
        // Each folder on the way, in front of what is in it.
        for folder in place.ancestors().skip(1) {
            if folder != Path::new("") && !self.0.contains_key(folder) {
                self.folder(folder, 0o755, 0);
            }
        }
        self.0
            .entry(place)
            .insert_entry(Entry {
                kind,
                mode,
                user: 0,
                content,
                of: None,
            })
            .into_mut()
    }

    fn file(&mut self, place: impl Into<PathBuf>, content: impl Into<Vec<u8>>) {
        self.put(place.into(), EntryType::Regular, 0o644, content.into());
    }

    fn program(&mut self, place: impl Into<PathBuf>, content: Vec<u8>) {
        self.put(place.into(), EntryType::Regular, 0o755, content);
    }

    fn folder(&mut self, place: impl Into<PathBuf>, mode: u32, user: u32) {
        let place = place.into();
        self.put(place, EntryType::Directory, mode, Vec::new()).user = user;
    }

    /// Another name of a file that stands before it.
    fn link(&mut self, place: PathBuf, of: PathBuf) {
        self.put(place, EntryType::Link, 0o755, Vec::new()).of = Some(of);
    }

    fn tar(self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        // A link is behind what it names.
        let (links, others): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(_, it)| it.of.is_some());
        for (place, entry) in others.into_iter().chain(links) {
            let mut header = Header::new_ustar();
            header.set_entry_type(entry.kind);
            header.set_mode(entry.mode);
            header.set_uid(entry.user.into());
            header.set_gid(entry.user.into());
            header.set_mtime(0);
            header.set_size(entry.content.len() as u64);
            match entry.of {
                Some(of) => tar.append_link(&mut header, &place, of)?,
                None => tar.append_data(&mut header, &place, &entry.content[..])?,
            }
        }
        Ok(tar.into_inner()?)
    }

    fn layer(self) -> Result<Layer> {
        let tar = self.tar()?;
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::default());
        gzip.write_all(&tar)?;
        Ok(Layer {
            gzip: gzip.finish()?,
            diff: Digest::of(&tar),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A release of this test's own program and nothing else.
    fn release(dir: &Path) -> ReleaseManifest {
        fs::create_dir_all(dir.join("bin")).unwrap();
        let own = std::env::current_exe().unwrap();
        fs::copy(own, dir.join(PROGRAM)).unwrap();
        fs::write(dir.join(MANIFEST), "{}").unwrap();
        let manifest = json!({
            "name": "giving", "version": "0.1.0", "host": "0.1.0", "host_sha256": "0",
            "target": "x86_64-unknown-linux-gnu", "libc": "2.36", "plugins": [],
            "upgrade_scripts": [],
        });
        serde_json::from_value(manifest).unwrap()
    }

    #[test]
    fn the_same_release_gives_the_same_bytes_with_all_that_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, out) = (folder.path().join("release"), folder.path());
        let manifest = release(&dir);
        let made = image(&manifest, &dir, Path::new("/"), out).unwrap();
        let first = fs::read(&made.file).unwrap();
        assert_eq!(made.bytes, first.len() as u64);
        let again = image(&manifest, &dir, Path::new("/"), out).unwrap();
        assert!(fs::read(again.file).unwrap() == first);

        let mut libraries = BTreeMap::new();
        let program = read(&dir.join(PROGRAM)).unwrap();
        needed(&program, Path::new("/"), &mut libraries).unwrap();
        let has = |name: &str| libraries.keys().any(|it| it.ends_with(name));
        assert!(has("libc.so.6"), "{:?}", libraries.keys());
        let linker = elf::needs(&program).unwrap().linker.unwrap();
        assert!(libraries.contains_key(linker.strip_prefix("/").unwrap()));
    }

    #[test]
    fn a_library_that_is_not_there_is_named_and_so_is_a_target_without_images() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("release");
        let mut manifest = release(&dir);
        let error = image(&manifest, &dir, folder.path(), folder.path());
        let said = format!("{:#}", error.unwrap_err());
        assert!(said.contains("bin/host") && said.contains(".so"), "{said}");
        manifest.target = "riscv64gc-unknown-linux-gnu".to_owned();
        let error = image(&manifest, &dir, Path::new("/"), folder.path());
        assert!(error.unwrap_err().to_string().contains("riscv64gc"));
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "nothing is left");
    }
}
