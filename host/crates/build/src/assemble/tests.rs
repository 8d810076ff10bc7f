//! Releases put together from files that stand for libraries.

use host_model::release::Start;

use super::*;

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
        let recipe = Recipe::read(&self.path("recipe.toml"))?;
        let libraries = ["libzakat_v0_2_0.so", "libdonations_v0_2_0.so"];
        let inputs = Inputs {
            recipe: &recipe,
            base: Path::new(""),
            host: &self.path("target/host"),
            host_version: &Version::new(0, 1, 0),
            target: "x86_64-unknown-linux-gnu",
            libraries: &libraries.map(|it| self.path("target").join(it)),
            documents: &[("licences.txt".to_owned(), b"terms".to_vec())],
            strip: true,
            reserved: "host",
            ask: &|library| {
                Ok(PluginManifest {
                    name: fs::read_to_string(library)?,
                    version: version.parse()?,
                    sdk: Version::new(0, 1, 0),
                    state_schema: 1,
                    commands: Vec::new(),
                    queries: Vec::new(),
                    idempotency: Default::default(),
                    migrates_from: Some("~0.1".parse()?),
                    settings: Vec::new(),
                    schemas: Default::default(),
                })
            },
        };
        assemble(&inputs, &self.path("releases/0.2.0"))
    }

    fn releases(&self) -> usize {
        fs::read_dir(self.path("releases")).map_or(0, Iterator::count)
    }
}

#[test]
fn a_release_has_what_its_file_names_with_digests() {
    let bench = Bench::new();
    let made = bench.assemble("0.2.0").unwrap();
    let dir = bench.path("releases/0.2.0");
    let read = fs::read(dir.join("manifest.json")).unwrap();
    assert_eq!(made, serde_json::from_slice(&read).unwrap());
    let names: Vec<_> = made.plugins.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["donations", "zakat"]);
    assert_eq!(made.plugins[0].start, Start::Temporary);
    let shape = made.plugins[0].shape.as_ref().unwrap();
    let from = shape.migrates_from.as_ref().map(ToString::to_string);
    assert_eq!((shape.state_schema, from.as_deref()), (1, Some("~0.1")));
    assert_eq!(made.plugins[0].sha256, Digest::of(b"donations").to_string());
    assert_eq!(made.host_sha256, Digest::of(b"the host").to_string());
    let scripts: Vec<_> = made
        .upgrade_scripts
        .iter()
        .map(|s| s.file.clone())
        .collect();
    assert_eq!(scripts, [Path::new("upgrade-scripts/zakat-0.2.0.toml")]);
    for plugin in &made.plugins {
        assert!(dir.join(&plugin.file).is_file());
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
fn the_same_inputs_give_the_same_bytes_and_another_folder_another_release() {
    let bench = Bench::new();
    let made = bench.assemble("0.2.0").unwrap();
    let pack = |out: &str| {
        let dir = bench.path("releases/0.2.0");
        let packed = crate::pack(&made, &dir, &bench.path(out), None).unwrap();
        assert!(packed.file.ends_with("giving-0.2.0.tar.zst"));
        fs::read(packed.file).unwrap()
    };
    let first = pack("a");
    let library = bench.path("releases/0.2.0/plugins/zakat-0.2.0.so");
    let bytes = fs::read(&library).unwrap();
    // Neither the time of a file nor who may read it comes into a package.
    fs::remove_file(&library).unwrap();
    fs::write(&library, bytes).unwrap();
    fs::set_permissions(&library, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(pack("b"), first);
}

#[test]
fn a_secret_in_a_script_is_refused() {
    let bench = Bench::new();
    let script = bench.path("appups/zakat-0.2.0.toml");
    fs::write(&script, format!("{APPUP}# postgres://u:hunter2@db/x\n")).unwrap();
    let error = bench.assemble("0.2.0").unwrap_err().to_string();
    assert!(error.contains("zakat-0.2.0.toml line 3"), "{error}");
    assert_eq!(bench.releases(), 0);
}
