//! Releases put together from files that stand for libraries.

use super::*;
use host_upgrade::Unpacked;

const RECIPE: &str = r#"
name = "giving"
version = "0.2.0"
upgrade_scripts = "{dir}/appups"

[[plugin]]
path = "plugins/zakat/0.2.0"

[[plugin]]
path = "plugins/donations/0.2.0"
start = "temporary"
"#;

const APPUP: &str = "plugin = \"zakat\"\nversion = \"0.2.0\"\n";

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (file, text) in [
            ("target/host", "the host"),
            ("target/libzakat_v0_2_0.so", "zakat"),
            ("target/libdonations_v0_2_0.so", "donations"),
            ("appups/zakat-0.2.0.toml", APPUP),
            ("appups/zakat-0.1.0.toml", "not of this release"),
            ("recipe.toml", RECIPE),
        ] {
            let text = text.replace("{dir}", bench.0.path().to_str().unwrap());
            let file = bench.path(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        bench
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn assemble(&self, version: &str) -> Result<ReleaseManifest> {
        assemble(
            &self.path("recipe.toml"),
            &self.path("target"),
            &self.path("releases/0.2.0"),
            |library| {
                Ok(PluginManifest {
                    name: fs::read_to_string(library)?,
                    version: version.parse()?,
                    sdk: Version::new(0, 1, 0),
                    state_schema: 1,
                    commands: Vec::new(),
                    queries: Vec::new(),
                    idempotency: Default::default(),
                    migrates_from: None,
                })
            },
        )
    }

    fn releases(&self) -> usize {
        fs::read_dir(self.path("releases")).map_or(0, Iterator::count)
    }
}

#[test]
fn a_release_has_what_its_file_names_with_digests() {
    let bench = Bench::new();
    let made = bench.assemble("0.2.0").unwrap();
    let read = Unpacked::read(&bench.path("releases/0.2.0")).unwrap();
    assert_eq!(made, read.manifest);
    let names: Vec<_> = made.plugins.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["donations", "zakat"]);
    assert_eq!(made.plugins[0].start, Start::Temporary);
    assert_eq!(made.plugins[0].sha256, Digest::of(b"donations").to_string());
    assert_eq!(made.host_sha256, Digest::of(b"the host").to_string());
    let scripts: Vec<_> = made
        .upgrade_scripts
        .iter()
        .map(|s| s.file.clone())
        .collect();
    assert_eq!(scripts, [Path::new("upgrade-scripts/zakat-0.2.0.toml")]);
    for plugin in &made.plugins {
        assert!(read.dir.join(&plugin.file).is_file());
    }
    assert!(
        bench
            .assemble("0.2.0")
            .unwrap_err()
            .to_string()
            .contains("remove it")
    );
}

#[test]
fn what_does_not_fit_leaves_nothing_behind() {
    let bench = Bench::new();
    let error = bench.assemble("0.2.1").unwrap_err();
    assert!(
        error.to_string().contains("says that it is zakat 0.2.1"),
        "{error}"
    );
    fs::write(bench.path("appups/zakat-0.2.0.toml"), "plugin = 1").unwrap();
    assert!(bench.assemble("0.2.0").is_err());
    fs::remove_file(bench.path("target/host")).unwrap();
    assert!(bench.assemble("0.2.0").is_err());
    assert_eq!(bench.releases(), 0);
}

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
