//! What is wrong with a certificate is told, and what replaces it is whole.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A folder with `cert.pem` and `key.pem`.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.issue("localhost", 2000..4000);
        folder
    }

    pub(crate) fn files(&self) -> TlsFiles {
        let path = |name| self.0.path().join(name);
        TlsFiles {
            cert: path("cert.pem"),
            key: path("key.pem"),
        }
    }

    /// Writes a new certificate for `name`, valid for these years, and its key.
    pub(crate) fn issue(&self, name: &str, years: std::ops::Range<i32>) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let cert = params.self_signed(&key).unwrap();
        let files = self.files();
        fs::write(&files.cert, cert.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        cert.der().clone()
    }
}

fn problem(files: &TlsFiles) -> (TlsFile, String) {
    let error = files.identity().unwrap_err();
    (error.file, error.to_string())
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_the_one_to_blame() {
    let folder = Folder::new();
    let files = folder.files();
    let sound = [&files.cert, &files.key].map(|it| fs::read_to_string(it).unwrap());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let broken = sound[0].replace("MII", "MIJ");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (cert, key, file, word) in [
        ("", sound[1].as_str(), TlsFile::Cert, "no certificate in it"),
        (&sound[1], &sound[1], TlsFile::Cert, "no certificate in it"),
        (&broken, &sound[1], TlsFile::Cert, "certificate"),
        (&sound[0], "", TlsFile::Key, "no private key in it"),
        (&sound[0], encrypted, TlsFile::Key, "without a passphrase"),
        (&sound[0], &other, TlsFile::Key, "not the key of the first"),
    ] {
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        let (blamed, told) = problem(&files);
        assert_eq!(blamed, file, "{told}");
        assert!(told.contains(word), "{told}");
        let secret = key.lines().nth(1).unwrap_or("nothing");
        assert!(!told.contains(secret), "{told}");
    }
    fs::remove_file(&files.key).unwrap();
    let (blamed, told) = problem(&files);
    assert!(
        blamed == TlsFile::Key && told.contains("cannot be read"),
        "{told}"
    );
    fs::write(&files.cert, vec![b'a'; 2 << 20]).unwrap();
    let (_, told) = problem(&files);
    assert!(told.contains("it has over"), "{told}");
    // Both at once, where both are wrong.
    let blamed: Vec<_> = files.problems().iter().map(|it| it.file).collect();
    assert_eq!(blamed, [TlsFile::Cert, TlsFile::Key]);
    folder.issue("localhost", 2000..4000);
    assert_eq!(files.problems(), []);
}

#[test]
fn a_certificate_that_is_out_of_its_time_or_for_others_is_warned_of() {
    let folder = Folder::new();
    let warnings = |host: &str| folder.files().identity().unwrap().warnings(host);
    assert_eq!(warnings("localhost"), [""; 0]);
    let told = warnings("give.example.org");
    assert!(
        told.len() == 1 && told[0].contains("not one for give.example.org"),
        "{told:?}"
    );
    for (years, word) in [
        (2000..2001, "was valid until 2001-01-01T00:00:00Z"),
        (3000..3001, "valid from 3000-01-01T00:00:00Z on"),
    ] {
        folder.issue("localhost", years);
        let told = warnings("localhost");
        assert!(told.len() == 1 && told[0].contains(word), "{told:?}");
    }
    folder.issue("127.0.0.1", 2000..4000);
    assert_eq!(warnings("127.0.0.1"), [""; 0], "an address is a name, too");
}

#[test]
fn a_key_that_everyone_may_read_is_seen() {
    let folder = Folder::new();
    let files = folder.files();
    for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(files.is_key_open(), is_open, "{mode:o}");
    }
}

#[test]
fn a_new_certificate_replaces_the_old_one_whole_or_not_at_all() {
    let folder = Folder::new();
    let tls = Tls::open(folder.files()).unwrap();
    let first = tls.identity();
    assert_eq!(tls.replace(tls.read().unwrap()), None, "it is the same");
    // Its key is not there yet.
    let key = fs::read(folder.files().key).unwrap();
    folder.issue("localhost", 2000..4001);
    let new_key = fs::read(folder.files().key).unwrap();
    fs::write(folder.files().key, key).unwrap();
    assert_eq!(tls.read().unwrap_err().file, TlsFile::Key);
    assert_eq!(tls.identity(), first);
    assert!(tls.look().is_err());
    assert_eq!(tls.identity(), first);
    // Now it is, and whoever looks finds it.
    fs::write(folder.files().key, new_key).unwrap();
    tls.look().unwrap();
    let second = tls.identity();
    assert_ne!(second, first);
    // One that nobody would take does not replace one that everybody takes.
    folder.issue("localhost", 2000..2001);
    assert!(tls.look().unwrap_err().problem.contains("renew it"));
    assert_eq!(tls.identity(), second);
    folder.issue("localhost", 2000..4002);
    let replaced = tls.replace(tls.read().unwrap()).unwrap();
    assert_eq!(replaced.before, second.shown());
    assert!(replaced.after.contains("valid until 4002"), "{replaced:?}");
}
