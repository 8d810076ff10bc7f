//! Reads a package from its beginning to its end, and writes what its manifest names.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use host_loader::Digest;
use host_model::id::is_plugin_name;
use host_model::limits::{PACKAGE_BYTES_MAX, RELEASE_TEXT_BYTES_MAX};
use host_model::release::{ReleaseManifest, ReleasePlugin, is_release_name};
use host_model::setting::PluginSetting;
use tar::{Archive, Entries, Entry, EntryType};

use crate::names::{MANIFEST, SIGNATURE, bytes_max};
use crate::{InstallError, Machine, TrustedKeys};

/// How the two kinds of packages begin.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Bytes of a signature: it has four lines.
const SIGNATURE_BYTES_MAX: u64 = 4 << 10;

/// Bytes at a time.
const CHUNK_BYTES: usize = 64 << 10;

type Packed = Box<dyn Read>;

/// A package that is open, from which nothing was read.
pub(crate) struct Package {
    file: PathBuf,
    archive: Archive<Packed>,
}

/// What a package says of itself.
pub(crate) struct Head {
    pub(crate) manifest: ReleaseManifest,
    /// Of which the signature is.
    pub(crate) text: Vec<u8>,
    pub(crate) signature: Option<Vec<u8>>,
}

impl Package {
    /// Opens the package `file`.
    pub(crate) fn open(file: &Path) -> Result<Self, InstallError> {
        let failed = |source| InstallError::Open {
            file: file.to_owned(),
            source,
        };
        let no_package = |problem: &str| InstallError::NoPackage {
            file: file.to_owned(),
            problem: problem.to_owned(),
        };
        // Before it is opened, which of a pipe waits for who writes into it.
        if !fs::metadata(file).map_err(failed)?.is_file() {
            return Err(no_package("it is no regular file"));
        }
        let mut packed = File::open(file).map_err(failed)?;
        let mut begin = Vec::new();
        let read = Read::by_ref(&mut packed).take(4).read_to_end(&mut begin);
        read.map_err(failed)?;
        packed.rewind().map_err(failed)?;
        let reader: Packed = match begin.as_slice() {
            begin if begin == ZSTD => Box::new(
                zstd::Decoder::new(packed)
                    .map_err(failed)?
                    .take(PACKAGE_BYTES_MAX),
            ),
            begin if begin.starts_with(&GZIP) => Box::new(
                flate2::read::MultiGzDecoder::new(io::BufReader::new(packed))
                    .take(PACKAGE_BYTES_MAX),
            ),
            _ => return Err(no_package("it begins neither as zstd nor as gzip does")),
        };
        Ok(Self {
            file: file.to_owned(),
            archive: Archive::new(reader),
        })
    }

    /// Reads it to its end. `begin` hears what it says of itself, once that is vouched for
    /// and fits, and says into which folder it goes; none: it is not wanted.
    pub(crate) fn unpack(
        mut self,
        keys: &TrustedKeys,
        machine: &Machine,
        begin: impl FnOnce(&Head) -> Result<Option<PathBuf>, InstallError>,
    ) -> Result<(), InstallError> {
        let reading = Reading { file: &self.file };
        let entries = self.archive.entries().map_err(|e| reading.damaged(&e))?;
        // As they stand there: names of any length, which are entries before their own, are
        // refused like all that is no file.
        let mut entries = entries.raw(true);
        let (head, first) = reading.head(&mut entries)?;
        let signature = head.signature.as_deref();
        if let Err(problem) = keys.verify(&head.text, signature, &self.file) {
            let file = self.file.clone();
            return Err(InstallError::Untrusted { file, problem });
        }
        reading.names(&head.manifest)?;
        let mut wanted = reading.wanted(&head.manifest)?;
        let problems = machine.problems(&head.manifest);
        if !problems.is_empty() {
            let version = head.manifest.version.clone();
            return Err(InstallError::Misfit { version, problems });
        }
        let Some(folder) = begin(&head)? else {
            return Ok(());
        };
        if let Some(first) = first {
            reading.file(first, &folder, &mut wanted)?;
        }
        for entry in entries {
            let entry = entry.map_err(|e| reading.damaged(&e))?;
            reading.file(entry, &folder, &mut wanted)?;
        }
        if let Some((missing, _)) = wanted.pop_first() {
            let problem = format!("{} is not in it", missing.display());
            return Err(reading.found(problem));
        }
        write(&folder.join(MANIFEST), &head.text)?;
        if let Some(signature) = &head.signature {
            write(&folder.join(SIGNATURE), signature)?;
        }
        // What is packed is checked at its end.
        let rest = io::copy(&mut self.archive.into_inner(), &mut io::sink());
        rest.map_err(|e| reading.damaged(&e))?;
        sync_folders(&folder)
    }
}

/// What is said where something is wrong with a package.
struct Reading<'a> {
    file: &'a Path,
}

impl Reading<'_> {
    fn found(&self, problem: String) -> InstallError {
        let file = self.file.to_owned();
        InstallError::Damaged { file, problem }
    }

    fn damaged(&self, error: &io::Error) -> InstallError {
        self.found(error.to_string())
    }

    fn bad(&self, entry: &Entry<'_, Packed>, problem: &'static str) -> InstallError {
        InstallError::BadEntry {
            file: self.file.to_owned(),
            entry: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
            problem,
        }
    }

    /// The manifest, the signature where there is one, and the entry behind them where that
    /// was read to know.
    fn head<'a>(
        &self,
        entries: &mut Entries<'a, Packed>,
    ) -> Result<(Head, Option<Entry<'a, Packed>>), InstallError> {
        let first = self.next(entries)?;
        let mut first = first.ok_or_else(|| self.found("it is empty".to_owned()))?;
        if *first.path_bytes() != *MANIFEST.as_bytes() {
            return Err(self.bad(&first, "stands where the manifest belongs"));
        }
        let text = self.text(&mut first, RELEASE_TEXT_BYTES_MAX)?;
        let manifest = serde_json::from_slice(&text)
            .map_err(|e| self.found(format!("its {MANIFEST} makes no sense: {e}")))?;
        let mut second = self.next(entries)?;
        let signature = match &mut second {
            Some(entry) if *entry.path_bytes() == *SIGNATURE.as_bytes() => {
                Some(self.text(entry, SIGNATURE_BYTES_MAX)?)
            }
            _ => None,
        };
        let head = Head {
            manifest,
            text,
            signature,
        };
        let rest = second.filter(|_| head.signature.is_none());
        Ok((head, rest))
    }

    fn next<'a>(
        &self,
        entries: &mut Entries<'a, Packed>,
    ) -> Result<Option<Entry<'a, Packed>>, InstallError> {
        entries.next().transpose().map_err(|e| self.damaged(&e))
    }

    /// How many bytes an entry has, which is a file.
    fn bytes(&self, entry: &Entry<'_, Packed>, bytes_max: u64) -> Result<u64, InstallError> {
        if entry.header().entry_type() != EntryType::Regular {
            return Err(self.bad(entry, "is no regular file"));
        }
        let bytes = entry.header().entry_size().map_err(|e| self.damaged(&e))?;
        match bytes > bytes_max {
            true => Err(self.bad(entry, "is larger than such a file may be")),
            false => Ok(bytes),
        }
    }

    fn text(&self, entry: &mut Entry<'_, Packed>, bytes_max: u64) -> Result<Vec<u8>, InstallError> {
        let bytes = self.bytes(entry, bytes_max)?;
        let mut text = Vec::new();
        let read = entry.read_to_end(&mut text).map_err(|e| self.damaged(&e))?;
        match read as u64 == bytes {
            true => Ok(text),
            false => Err(self.found("it ends in the middle of a file".to_owned())),
        }
    }

    /// Refuses names that no release has: they go into paths, ids and settings, and onto
    /// terminals.
    fn names(&self, manifest: &ReleaseManifest) -> Result<(), InstallError> {
        let refuse = |problem: String| {
            let (file, problem) = (self.file.to_owned(), format!("its {MANIFEST} {problem}"));
            Err(InstallError::NoPackage { file, problem })
        };
        if !is_release_name(&manifest.name) {
            return refuse(format!(
                "has the name {:?}, and no release has",
                manifest.name
            ));
        }
        for ReleasePlugin { name, settings, .. } in &manifest.plugins {
            if !is_plugin_name(name) {
                return refuse(format!("has a plugin {name:?}, and none is called so"));
            }
            if let Err(problem) = settings.iter().try_for_each(PluginSetting::check) {
                return refuse(format!("has the plugin {name}, and {problem}"));
            }
        }
        Ok(())
    }

    /// What the manifest names, with the digests.
    fn wanted(
        &self,
        manifest: &ReleaseManifest,
    ) -> Result<BTreeMap<PathBuf, Digest>, InstallError> {
        let mut wanted = BTreeMap::new();
        for (file, sha256) in manifest.files() {
            let says = |problem: String| {
                self.found(format!(
                    "its {MANIFEST} names {}: {problem}",
                    file.display()
                ))
            };
            if bytes_max(file).is_none() {
                return Err(says("no release has such a file".to_owned()));
            }
            let digest = sha256.parse();
            let digest = digest.map_err(|e: host_loader::InvalidDigest| says(e.to_string()))?;
            if wanted.insert(file.to_owned(), digest).is_some() {
                return Err(says("twice".to_owned()));
            }
        }
        Ok(wanted)
    }

    /// Writes the file of an entry, which is one of those wanted, and has its digest.
    fn file(
        &self,
        mut entry: Entry<'_, Packed>,
        folder: &Path,
        wanted: &mut BTreeMap<PathBuf, Digest>,
    ) -> Result<(), InstallError> {
        let named = String::from_utf8(entry.path_bytes().into_owned());
        let named = named.unwrap_or_default();
        // The path is the manifest's, which is a file's within the folder.
        let Some((file, digest)) = wanted.remove_entry(Path::new(&named)) else {
            return Err(self.bad(&entry, "its manifest does not name, or it has twice"));
        };
        let bytes = self.bytes(&entry, bytes_max(&file).unwrap_or(0))?;
        let path = folder.join(&file);
        let failed = |source| InstallError::Write {
            path: path.clone(),
            source,
        };
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(failed)?;
        let mode = if file.starts_with("bin") {
            0o755
        } else {
            0o644
        };
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(mode);
        let mut target = options.open(&path).map_err(failed)?;
        let mut hasher = Digest::hasher();
        let mut written = 0;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match entry.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(&error)),
            };
            hasher.update(&chunk[..read]);
            target.write_all(&chunk[..read]).map_err(failed)?;
            written += read as u64;
        }
        if written != bytes {
            return Err(self.found(format!("it ends in the middle of {}", file.display())));
        }
        if hasher.digest() != digest {
            let problem = format!(
                "{} has not the digest that its manifest names",
                file.display()
            );
            return Err(self.found(problem));
        }
        // Whatever the umask: a release is for whoever runs it.
        target
            .set_permissions(Permissions::from_mode(mode))
            .map_err(failed)?;
        target.sync_all().map_err(failed)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()
    });
    written.map_err(|source| InstallError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Makes the names in a folder, and in those in it, durable.
pub(crate) fn sync_folders(folder: &Path) -> Result<(), InstallError> {
    let failed = |source| InstallError::Write {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    File::open(folder)
        .and_then(|it| {
            it.set_permissions(Permissions::from_mode(0o755))?;
            it.sync_all()
        })
        .map_err(failed)
}
