//! Keys that releases are signed by, in minisign's format.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use host_package::Undo;
use minisign::{KeyPair, SecretKeyBox};

/// A key that signs.
pub struct SecretKey(minisign::SecretKey);

/// The files of a pair of keys that was made.
#[derive(Debug)]
pub struct Made {
    /// Signs; nobody else may have it.
    pub secret: PathBuf,
    /// Goes to every home that is to trust it.
    pub public: PathBuf,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// Makes a pair of keys: `FILE` with mode 0600, and `FILE.pub`. The secret one has no
/// password, so that what builds releases by itself can use it.
///
/// # Errors
///
/// One of the files is there already, or cannot be written.
pub fn generate(file: &Path) -> Result<Made> {
    let pair = KeyPair::generate_unencrypted_keypair().map_err(|e| anyhow!("make keys: {e}"))?;
    let key = "make the text of a key";
    let secret = pair.sk.to_box(None).map_err(|e| anyhow!("{key}: {e}"))?;
    let public = pair.pk.to_box().map_err(|e| anyhow!("{key}: {e}"))?;
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    let made = Made {
        secret: file.to_owned(),
        public: name.into(),
    };
    let mut undo = Undo::default();
    let files = [
        (&made.public, public.into_string(), 0o644),
        (&made.secret, secret.into_string(), 0o600),
    ];
    for (file, text, mode) in files {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(mode).open(file);
        let mut opened = opened.with_context(|| format!("make {}", file.display()))?;
        undo.made(file);
        let written = opened.write_all(format!("{}\n", text.trim_end()).as_bytes());
        written.with_context(|| format!("write {}", file.display()))?;
    }
    undo.keep();
    Ok(made)
}

/// Reads the secret key in `file`, of `host gen keys` or of minisign; one with a password
/// asks for it on the terminal.
///
/// # Errors
///
/// It cannot be read, is none, or the password is wrong.
pub fn read_key(file: &Path) -> Result<SecretKey> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let none = |e| {
        anyhow!(
            "{} is no secret key of minisign ({e}); `host gen keys` makes a pair",
            file.display()
        )
    };
    let boxed = || SecretKeyBox::from_string(&text).map_err(none);
    // Without a password first: that one is not asked for.
    let key = match boxed()?.into_unencrypted_secret_key() {
        Ok(key) => key,
        Err(_) => boxed()?.into_secret_key(None).map_err(none)?,
    };
    Ok(SecretKey(key))
}

impl SecretKey {
    /// The text of a signature of `bytes`, with a comment that is signed, too.
    pub(crate) fn sign(&self, bytes: &[u8], comment: &str) -> Result<Vec<u8>> {
        let signed = minisign::sign(None, &self.0, bytes, Some(comment), None);
        let signed = signed.map_err(|e| anyhow!("sign the release: {e}"))?;
        Ok(format!("{}\n", signed.into_string().trim_end()).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pair_is_made_once_and_its_secret_half_is_its_makers_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("release.key");
        let made = generate(&file).unwrap();
        let mode = fs::metadata(&made.secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let trusted = host_package::TrustedKeys::read(&made.public).unwrap();
        assert!(!trusted.is_empty());
        let key = read_key(&file).unwrap();
        fs::write(dir.path().join("manifest.json"), "{}").unwrap();
        let signature = key.sign(b"{}", "release giving 0.2.0").unwrap();
        fs::write(dir.path().join("manifest.json.minisig"), signature).unwrap();
        assert_eq!(trusted.problem(dir.path()), None);
        fs::write(dir.path().join("manifest.json"), "{ }").unwrap();
        assert!(trusted.problem(dir.path()).unwrap().contains("altered"));
        let before = fs::read(&file).unwrap();
        let again = format!("{:#}", generate(&file).unwrap_err());
        assert!(again.contains("exists"), "{again}");
        assert_eq!(fs::read(&file).unwrap(), before);
        let none = read_key(&made.public).unwrap_err().to_string();
        assert!(none.contains("no secret key"), "{none}");
    }
}
