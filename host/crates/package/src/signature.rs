//! Who vouches for a release: a signature of its manifest, in minisign's format, which
//! names every other file by its digest.

use std::fs;
use std::path::{Path, PathBuf};

use minisign_verify::{Error as Invalid, PublicKey, Signature};
use thiserror::Error;

use crate::{MANIFEST, SIGNATURE};

/// Bytes of a file that may hold a key: of one line, or of two with a comment.
const KEY_BYTES_MAX: u64 = 4_096;

/// The keys that may vouch for a release. Without one, nobody has to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<(PathBuf, PublicKey)>);

/// Keys that cannot be read. The operator is to blame.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeysError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {problem}; it is to be a public key of minisign, or a folder of such files", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A file holds no key.
    #[error("{} is no public key of minisign ({problem}); `host gen keys` makes a pair", path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A folder has no key in it: then none could vouch, and nothing would be asked for.
    #[error("{} has no file in it that ends in .pub", .0.display())]
    Empty(PathBuf),
}

impl TrustedKeys {
    /// The key in the file `path`, or all in the files `*.pub` of the folder `path`.
    ///
    /// # Errors
    ///
    /// [`KeysError`]
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let failed = |e: std::io::Error| KeysError::Read {
            path: path.to_owned(),
            problem: e.to_string(),
        };
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            return Ok(Self(vec![key(path)?]));
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|it| it == "pub") {
                files.push(file);
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(KeysError::Empty(path.to_owned()));
        }
        let keys = files.iter().map(|file| key(file));
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// Whether a release needs no signature here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with the signature of the manifest in the folder `dir`, where one
    /// is asked for.
    #[must_use]
    pub fn problem(&self, dir: &Path) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let read = |file: &str| {
            let path = dir.join(file);
            fs::read(&path).map_err(|e| (e.kind(), format!("{}: {e}", path.display())))
        };
        let signature = match read(SIGNATURE) {
            Ok(text) => Some(text),
            Err((std::io::ErrorKind::NotFound, _)) => None,
            Err((_, problem)) => return Some(problem),
        };
        match read(MANIFEST) {
            Ok(manifest) => self.verify(&manifest, signature.as_deref(), dir).err(),
            Err((_, problem)) => Some(problem),
        }
    }

    /// Whether a key that is trusted has signed this manifest; where there is none, nobody
    /// has to. Both are of `whence`, a folder or a package.
    ///
    /// # Errors
    ///
    /// What is wrong, in a sentence.
    pub(crate) fn verify(
        &self,
        manifest: &[u8],
        signature: Option<&[u8]>,
        whence: &Path,
    ) -> Result<(), String> {
        if self.is_empty() {
            return Ok(());
        }
        let file = whence.join(SIGNATURE);
        let Some(text) = signature else {
            return Err(format!(
                "it is not signed, and TRUSTED_KEYS asks for a signature in {}; build it with `host release build --sign KEY`, or install one that is signed",
                file.display()
            ));
        };
        let text = String::from_utf8_lossy(text);
        let signature = Signature::decode(&text).map_err(|e| {
            format!(
                "{} is no signature of minisign ({e}); install the release again",
                file.display()
            )
        })?;
        let mut altered = None;
        for (path, key) in &self.0 {
            // Only what is made today, of the hash: the older kind of signature is a
            // way around it that nobody needs.
            match key.verify(manifest, &signature, false) {
                Ok(()) => return Ok(()),
                Err(Invalid::UnexpectedKeyId) => {}
                Err(e) => altered = Some((path, e)),
            }
        }
        Err(match altered {
            Some((key, e)) => format!(
                "{} is not what the key {} has signed ({e}): it was altered; install the release again",
                whence.join(MANIFEST).display(),
                key.display()
            ),
            None => format!(
                "{} is of a key that is not among the {} of TRUSTED_KEYS; add the key if you trust it",
                file.display(),
                self.0.len()
            ),
        })
    }
}

fn key(path: &Path) -> Result<(PathBuf, PublicKey), KeysError> {
    let read = |problem: String| KeysError::Read {
        path: path.to_owned(),
        problem,
    };
    let no_key = |problem: String| KeysError::NoKey {
        path: path.to_owned(),
        problem,
    };
    let bytes = fs::metadata(path).map_err(|e| read(e.to_string()))?.len();
    if bytes > KEY_BYTES_MAX {
        return Err(no_key(format!("it has {bytes} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|e| read(e.to_string()))?;
    // With its comment as minisign writes it, or the key alone.
    let key = match text.trim().lines().count() {
        1 => PublicKey::from_base64(text.trim()),
        _ => PublicKey::decode(&text),
    };
    Ok((path.to_owned(), key.map_err(|e| no_key(e.to_string()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with minisign 0.11 of a manifest that is `{}`: by a key that is trusted, in
    // the older way by the same, and by a stranger's.
    const KEY: &str = "untrusted comment: minisign public key 90F606D4F5E27FC8\n\
        RWTIf+L11Ab2kGB+7wq9bUAD2Gep75MTM27s/lykSCPalQ2t+eqzgjgp";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\n\
        RUTIf+L11Ab2kEjnVrTymsP8MxQStB2POrLAuAI/hjX9ZPHkno3mj2wfBBfKkShFFLuIyTbGJKNXlLAcM36jgMzM94kpOqKedA4=\n\
        trusted comment: release 0.2.0\n\
        o0Zm5er7/BYBCeenaqZpkdDTNHvOzGY7dxYpyB0OycUPkGCnqSFyPMI1FbiNluoiCsa/c5sxXzu6PWhWmUXwCQ==";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key\n\
        RWTIf+L11Ab2kCbSvOqjZrEdCOpPMmQCmZqBsKI5zMWIt9jbYco0xzYJCJQU3yshTObt/gSD2ygVSP1+FsMIEoEmPDgOmknzKAc=\n\
        trusted comment: release 0.2.0\n\
        spaqaEOod5lqIhya9nbg8ZyiuDwhnQv/kuYxJwM97j5n4X95R1qDT5EbwI/djXuinCfnH2RcKGjBkGzMjSoUAw==";
    const STRANGERS: &str = "untrusted comment: signature from minisign secret key\n\
        RUSR8zdOwYvmQ0gCSQBqSbJ0YyqrJ1F3xc1FWCnJdwP0YJc202g53qSJr2sb9U36AkmdbcHm1Ky01lSJm+Q1k0ZscXVc2V9LVgg=\n\
        trusted comment: release 0.2.0\n\
        yvqzwMJCc/MYKCWON6XlPjlfgcJ3mhBkPG8tYKt3LakrkleeoWwF6G19J379pBfQfH8YPOSkJs5OIRxt/J62Cg==";

    #[test]
    fn unsigned_altered_and_by_a_stranger() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let write = |file: &str, text: &str| fs::write(dir.join(file), text).unwrap();
        write("manifest.json", "{}");
        let keys = dir.join("keys");
        fs::create_dir(&keys).unwrap();
        assert_eq!(
            TrustedKeys::read(&keys).unwrap_err(),
            KeysError::Empty(keys.clone())
        );
        write("keys/a.pub", KEY);
        let keys = TrustedKeys::read(&keys).unwrap();
        let problem = || keys.problem(dir).unwrap_or_default();
        assert!(problem().contains("is not signed"), "{}", problem());
        write(SIGNATURE, STRANGERS);
        assert!(problem().contains("not among the 1 of"), "{}", problem());
        write(SIGNATURE, LEGACY);
        assert!(problem().contains("altered"), "{}", problem());
        write(SIGNATURE, SIGNED);
        assert_eq!(problem(), "");
        write("manifest.json", "{ }");
        assert!(problem().contains("altered"), "{}", problem());
        write(SIGNATURE, "nonsense");
        assert!(problem().contains("no signature"), "{}", problem());
        // Where nobody has to vouch, nobody is asked.
        assert_eq!(TrustedKeys::default().problem(dir), None);
    }

    #[test]
    fn a_file_with_a_key_alone_or_with_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(&file, KEY.lines().last().unwrap()).unwrap();
        assert!(!TrustedKeys::read(&file).unwrap().is_empty());
        fs::write(&file, "untrusted comment: x\nnot a key\n").unwrap();
        let error = TrustedKeys::read(&file).unwrap_err();
        assert!(matches!(error, KeysError::NoKey { .. }), "{error}");
        let nowhere = TrustedKeys::read(&dir.path().join("nowhere")).unwrap_err();
        assert!(matches!(nowhere, KeysError::Read { .. }), "{nowhere}");
    }
}
