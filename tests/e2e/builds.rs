//! `host release build` through cargo, in the workspace of a plugin's author, which is not
//! this one: the same bytes twice, and a host that runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use e2e::Home;
use serde_json::{Value, json};

/// The author's plugin.
const TALLY: &str = r#"//! Counts.

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, export_plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many.
#[derive(Default, Serialize, Deserialize)]
pub struct Tally {
    count: u64,
}

/// One more.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Add {},
}

/// How many.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    Count {},
}

/// One more.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Added {},
}

impl Plugin for Tally {
    const NAME: &'static str = "tally";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, _cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        let Command::Add {} = command;
        Ok(Decision::event(Event::Added {}).reply(&(self.count + 1)))
    }

    fn apply(&mut self, Event::Added {}: Event) {
        self.count += 1;
    }

    fn query(&self, _cx: &Cx<'_>, Query::Count {}: Query) -> Result<Reply, Rejection> {
        Ok(Reply::json(&self.count))
    }
}

export_plugin!(Tally);
"#;

/// A workspace of one plugin, that uses the SDK of this repository.
fn workspace(dir: &Path, root: &Path) {
    let plugin = dir.join("plugins/tally/0.1.0");
    fs::create_dir_all(plugin.join("src")).unwrap();
    fs::create_dir(dir.join("upgrade-scripts")).unwrap();
    let write = |file: &str, text: &str| fs::write(dir.join(file), text).unwrap();
    // The profile of this repository, so that what is built here already is not built again.
    write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"plugins/tally/0.1.0\"]\n\
         [profile.dev]\nopt-level = 1\ndebug = \"line-tables-only\"\n",
    );
    write(
        "release.toml",
        "name = \"counting\"\nversion = \"0.1.0\"\nupgrade_scripts = \"upgrade-scripts\"\n\
         [[plugin]]\npath = \"plugins/tally/0.1.0\"\n",
    );
    let sdk = root.join("plugins/sdk");
    write(
        "plugins/tally/0.1.0/Cargo.toml",
        &format!(
            "[package]\nname = \"tally\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\
             [lib]\ncrate-type = [\"cdylib\"]\n\
             [dependencies]\nhost-sdk = {{ path = \"{}\" }}\n\
             schemars = \"1\"\nserde = {{ version = \"1\", features = [\"derive\"] }}\n",
            sdk.display()
        ),
    );
    fs::write(plugin.join("src/lib.rs"), TALLY).unwrap();
    for file in ["Cargo.lock", "rust-toolchain.toml"] {
        fs::copy(root.join(file), dir.join(file)).unwrap();
    }
    // The lock is this repository's, less what the author does not use.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--offline", "--format-version", "1"]);
    let told = metadata.current_dir(dir).stdout(Stdio::null()).output();
    let told = told.unwrap();
    assert!(told.status.success(), "{told:?}");
}

/// Builds the author's release into `out`, and says which file it is.
fn build(home: &Home, dir: &Path, root: &Path, out: &str) -> PathBuf {
    let mut host = Command::new(home.path().join("bin/host"));
    let line = "release build --profile dev --json --out";
    host.args(line.split(' ')).arg(out).arg("--target-dir");
    host.arg(root.join("target"));
    host.env("CARGO_NET_OFFLINE", "true").current_dir(dir);
    let built = host.output().unwrap();
    let said = String::from_utf8_lossy(&built.stdout);
    let why = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}{why}");
    let said: Value = serde_json::from_str(&said).unwrap();
    dir.join(said["file"].as_str().unwrap())
}

#[test]
fn an_authors_own_workspace_gives_the_same_bytes_twice_and_a_release_that_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().unwrap();
    let home = Home::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    workspace(dir, &root);
    let first = build(&home, dir, &root, "first");
    assert!(first.ends_with("first/counting-0.1.0.tar.zst"), "{first:?}");
    // Built once more, from the beginning of what the author wrote.
    let source = dir.join("plugins/tally/0.1.0/src/lib.rs");
    let source = fs::File::options().append(true).open(source).unwrap();
    source.set_modified(SystemTime::now()).unwrap();
    let second = build(&home, dir, &root, "second");
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    // A lock that does not have what is asked for is refused, and not mended.
    let lock = dir.join("Cargo.lock");
    let text = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, text.replace("name = \"tally\"", "name = \"other\"")).unwrap();
    let mut host = Command::new(home.path().join("bin/host"));
    let refused = host.args(["release", "build"]).current_dir(dir).output();
    let refused = refused.unwrap();
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(why.contains("--locked"), "{why}");

    let empty = dir.join("empty");
    fs::create_dir_all(empty.join("etc")).unwrap();
    fs::write(empty.join("etc/env"), "HOST_ENV=dev\n").unwrap();
    let place = Home::copied_from(&empty).unwrap();
    let (package, there) = (first.to_str().unwrap(), place.path().to_str().unwrap());
    home.done(&["install", package, "--home", there]).unwrap();
    place.start().unwrap();
    for count in 1..=3 {
        let reply = place.rpc("tally:a", "add", &json!({})).unwrap();
        assert_eq!(reply, count);
    }
    place.stop().unwrap();
}
