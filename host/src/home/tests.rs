//! Releases found, and the permanent one remembered.

use host_model::limits::ATTEMPTS_MAX;
use host_model::release::{ReleaseFile, ReleaseManifest, ReleasePlugin, Start};

use super::*;
use crate::boots::Why;

const OLD: Version = Version::new(0, 1, 0);
const NEW: Version = Version::new(0, 2, 0);

/// A release in a temporary home, with `program` as its host.
pub(crate) fn put_release(root: &Path, version: &str, program: &str) {
    use std::os::unix::fs::PermissionsExt;
    let dir = root.join("releases").join(version);
    fs::create_dir_all(dir.join("bin")).unwrap();
    let manifest = ReleaseManifest {
        name: "giving".to_owned(),
        version: version.parse().unwrap(),
        host: Version::new(0, 1, 0),
        host_sha256: String::new(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        libc: "2.36".to_owned(),
        plugins: Vec::new(),
        upgrade_scripts: Vec::new(),
        config: Vec::new(),
        documents: Vec::new(),
    };
    let text = serde_json::to_vec(&manifest).unwrap();
    fs::write(dir.join("manifest.json"), text).unwrap();
    fs::write(dir.join("bin/host"), program).unwrap();
    fs::set_permissions(dir.join("bin/host"), fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn home(root: &Path) -> Home {
    Home {
        root: root.to_owned(),
        data: root.to_owned(),
    }
}

fn versions(home: &Home) -> Vec<String> {
    let versions = home.releases().versions().unwrap();
    versions.iter().map(Version::to_string).collect()
}

#[test]
fn releases_are_found_in_the_order_of_their_versions() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home {
        root: dir.path().join("root"),
        data: dir.path().join("data"),
    };
    for version in ["0.10.0", "0.2.0", "0.2.0-rc.1"] {
        put_release(&home.root, version, "");
    }
    put_release(&home.data, "0.3.0", "");
    fs::create_dir_all(home.root.join("releases/0.4.0.partial")).unwrap();
    fs::write(home.root.join("releases/0.5.0"), "").unwrap();
    assert_eq!(versions(&home), ["0.2.0-rc.1", "0.2.0", "0.3.0", "0.10.0"]);
    let later = home.releases().read(&Version::new(0, 3, 0)).unwrap();
    assert_eq!(later.dir, home.data.join("releases/0.3.0"));
}

#[test]
fn the_permanent_release_is_the_lowest_until_one_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(dir.path());
    assert!(matches!(home.booting(None), Err(HomeError::NoRelease(_))));
    put_release(&home.root, "0.2.0", "");
    put_release(&home.root, "0.1.0", "");
    assert_eq!(
        home.booting(None).unwrap().0.manifest.version,
        Version::new(0, 1, 0)
    );
    home.set_permanent(&Version::new(0, 2, 0)).unwrap();
    let (permanent, _) = home.booting(None).unwrap();
    assert_eq!(
        permanent.program(),
        dir.path().join("releases/0.2.0/bin/host")
    );
    home.set_permanent(&Version::new(0, 3, 0)).unwrap();
    assert!(matches!(
        home.booting(None),
        Err(HomeError::Releases(ReleasesError::NotFound { .. }))
    ));
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(dir.path());
    put_release(&home.root, "0.1.0", "");
    home.set_permanent(&Version::new(0, 1, 0)).unwrap();
    fs::write(home.data_dir().join("permanent"), "newest\n").unwrap();
    let shown = home.booting(None).unwrap_err().to_string();
    assert!(
        shown.contains("data/permanent: \"newest\" is no version"),
        "{shown}"
    );
    fs::rename(
        home.root.join("releases/0.1.0"),
        home.root.join("releases/0.1.1"),
    )
    .unwrap();
    let shown = home
        .releases()
        .read(&Version::new(0, 1, 1))
        .unwrap_err()
        .to_string();
    assert!(
        shown.contains("0.1.1/manifest.json: it is the manifest of 0.1.0"),
        "{shown}"
    );
    fs::write(home.root.join("releases/0.1.1/manifest.json"), "{").unwrap();
    let shown = home
        .releases()
        .read(&Version::new(0, 1, 1))
        .unwrap_err()
        .to_string();
    assert!(shown.contains("0.1.1/manifest.json: EOF"), "{shown}");
}

/// Gives a release in a temporary home the plugin `p` in the same version, whose appup says
/// this.
fn put_plugin(root: &Path, version: &Version, way: &str) {
    let dir = root.join(format!("releases/{version}"));
    let file = dir.join("manifest.json");
    let text = fs::read(&file).unwrap();
    let mut manifest: ReleaseManifest = serde_json::from_slice(&text).unwrap();
    let appup = format!("plugin = \"p\"\nversion = \"{version}\"\n{way}");
    let script = format!("p-{version}.toml");
    fs::write(dir.join(&script), appup).unwrap();
    manifest.upgrade_scripts = vec![ReleaseFile {
        file: script.into(),
        sha256: String::new(),
    }];
    manifest.plugins = vec![ReleasePlugin {
        name: "p".to_owned(),
        version: version.clone(),
        file: "p.so".into(),
        sha256: String::new(),
        start: Start::Permanent,
        settings: Vec::new(),
        shape: None,
    }];
    fs::write(&file, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn the_release_before_boots_where_it_is_installed_and_a_way_leads_back() {
    let dir = tempfile::tempdir().unwrap();
    let home = home(dir.path());
    for version in [&OLD, &NEW] {
        put_release(dir.path(), &version.to_string(), "");
        home.set_permanent(version).unwrap();
    }
    for _ in 0..ATTEMPTS_MAX {
        home.count_attempt(&NEW, &Why::Permanent).unwrap();
    }
    let up = "[[path]]\nfrom = \"=0.1.0\"\nup = [{ update = \"state\" }]\n";
    let both = format!("{up}down = [{{ update = \"state\" }}]\n");
    for (way, release) in [(&*both, OLD), (up, NEW)] {
        put_plugin(dir.path(), &OLD, "");
        put_plugin(dir.path(), &NEW, way);
        assert_eq!(home.choice(None).unwrap().release, release, "{way}");
    }
    put_plugin(dir.path(), &NEW, &both);
    fs::remove_dir_all(dir.path().join("releases/0.1.0")).unwrap();
    let choice = home.choice(None).unwrap();
    assert_eq!((choice.release, choice.why), (NEW, Why::Permanent));
}
