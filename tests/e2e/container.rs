//! The image of a release, made without a container engine, and run as one runs it: by a
//! user that is not root, over a root that is read-only, with a volume for what it writes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::{Home, http, wait};
use flate2::read::GzDecoder;
use host_model::Version;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Who runs it, within.
const USER: &str = "10001";

/// What lies in an image, unpacked: its layers one over the other.
struct Image {
    root: TempDir,
    config: Value,
}

impl Image {
    fn unpack(file: &Path) -> Self {
        let layout = tempfile::tempdir().unwrap();
        tar::Archive::new(File::open(file).unwrap())
            .unpack(layout.path())
            .unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let blob = |described: &Value| {
            let digest = described["digest"].as_str().unwrap();
            let hex = digest.strip_prefix("sha256:").unwrap();
            let bytes = fs::read(layout.path().join("blobs/sha256").join(hex)).unwrap();
            assert_eq!(hex, sha256(&bytes));
            assert_eq!(described["size"], bytes.len());
            bytes
        };
        let index = json(&fs::read(layout.path().join("index.json")).unwrap());
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        let root = tempfile::tempdir().unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        let diffs = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(layers.len(), diffs.len());
        for (layer, diff) in layers.iter().zip(diffs) {
            let mut tar = Vec::new();
            std::io::copy(&mut GzDecoder::new(&blob(layer)[..]), &mut tar).unwrap();
            assert_eq!(*diff, format!("sha256:{}", sha256(&tar)));
            tar::Archive::new(&tar[..]).unpack(root.path()).unwrap();
        }
        Self { root, config }
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A volume, and what a container of it is told.
struct Volume {
    folder: TempDir,
    port: u16,
    /// What stands in its variables beside those of the image.
    secret: String,
}

impl Volume {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            port: e2e::home::free_port().unwrap(),
            secret: "k".repeat(64),
        }
    }

    /// A container of this image, which runs `line`; its first process is that.
    fn container(&self, image: &Image, line: &[&str]) -> Command {
        let config = &image.config["config"];
        let mut bwrap = Command::new("bwrap");
        bwrap
            .args(["--unshare-user", "--uid", USER, "--gid", USER])
            .args(["--unshare-pid", "--as-pid-1", "--unshare-ipc"])
            .args(["--die-with-parent", "--clearenv", "--ro-bind"])
            .arg(image.root.path())
            .args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"])
            .arg("--bind")
            .arg(self.folder.path())
            .arg("/data")
            .args(["--chdir", config["WorkingDir"].as_str().unwrap()]);
        for variable in config["Env"].as_array().unwrap() {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            bwrap.args(["--setenv", name, value]);
        }
        let port = self.port.to_string();
        for (name, value) in [
            ("PORT", port.as_str()),
            ("ADMIN_PORT", "0"),
            ("HOST_ALLOW_DEBUG", "yes"),
            ("HOST", "localhost"),
            ("SECRET_KEY_BASE", &self.secret),
        ] {
            bwrap.args(["--setenv", name, value]);
        }
        bwrap.arg("--").args(line).stdin(Stdio::null());
        bwrap
    }

    /// What the image runs by itself, until it is ready. Its log goes to a file.
    fn run(&self, image: &Image) -> Container {
        let line = image.config["config"]["Cmd"].as_array().unwrap();
        let line: Vec<_> = line.iter().map(|it| it.as_str().unwrap()).collect();
        let log = self.folder.path().with_extension("out");
        let file = File::create(&log).unwrap();
        let mut command = self.container(image, &line);
        let child = command.stdout(file).spawn().unwrap();
        let container = Container { child, log };
        let is_ready = || match http::request(self.port, "GET", "/readyz", "") {
            Ok(answer) if answer.status == 200 => Some(()),
            _ => None,
        };
        wait::until("the container is ready", is_ready).unwrap();
        container
    }

    /// What the running host answers at its socket.
    fn ask(&self, image: &Image, line: &[&str]) -> Value {
        let line = [&["bin/host"], line, &["--json"]].concat();
        let answer = self.container(image, &line).output().unwrap();
        let said = String::from_utf8_lossy(&answer.stdout);
        let why = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{line:?}: {said}{why}");
        // Of several documents the last is the outcome.
        serde_json::from_str(said.lines().last().unwrap()).unwrap()
    }
}

/// One that runs, and is ended with the test.
struct Container {
    child: Child,
    log: PathBuf,
}

impl Container {
    /// Its first process.
    fn first(&self) -> i32 {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let first = fs::read_to_string(children).unwrap();
        first.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// As an engine runs something in one that runs: in its namespaces, its folder and with
    /// its variables.
    fn exec(&self, line: &[&str], input: &str) -> String {
        let first = self.first();
        let variables = fs::read_to_string(format!("/proc/{first}/environ")).unwrap();
        let variables = variables.split_terminator('\0');
        let mut entered = Command::new("/usr/bin/nsenter")
            .args([
                "--target",
                &first.to_string(),
                "--user",
                "--preserve-credentials",
            ])
            .args(["--mount", "--pid", "--ipc", "--root", "--wd", "--"])
            .args(line)
            .env_clear()
            .envs(variables.filter_map(|it| it.split_once('=')))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut keyboard = entered.stdin.take().unwrap();
        keyboard.write_all(input.as_bytes()).unwrap();
        drop(keyboard);
        let ended = entered.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{line:?}: {said}");
        said
    }

    /// As an engine ends one: the first process in it is asked to.
    fn stop(mut self) -> String {
        kill_process(Pid::from_raw(self.first()).unwrap(), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        self.log()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn image(home: &Home, version: &str, out: &Path) -> PathBuf {
    let release = home.path().join("releases").join(version);
    let (release, out) = (release.to_str().unwrap(), out.to_str().unwrap());
    let line = ["release", "image", release, "--out", out, "--json"];
    let made: Value = home.answer(&line).unwrap();
    PathBuf::from(made["file"].as_str().unwrap())
}

#[test]
fn an_image_runs_by_itself_is_upgraded_hot_and_makes_room_for_the_next() {
    let home = Home::new().unwrap();
    let out = tempfile::tempdir().unwrap();
    let file = image(&home, "0.1.0", out.path());
    assert!(file.ends_with("giving-0.1.0.oci.tar"), "{file:?}");
    let bytes = fs::metadata(&file).unwrap().len();
    assert!(bytes <= 40_000_000, "the image has {bytes} bytes");
    let old = Image::unpack(&file);
    assert_eq!(old.config["config"]["User"], "10001:10001");
    let volume = Volume::new();

    let running = volume.run(&old);
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"}).to_string();
    volume.ask(&old, &["rpc", "donations:c", "open", &open]);
    let donate = json!({"donation_id": "d1", "amount": "5.00", "currency": "USD"}).to_string();
    volume.ask(&old, &["rpc", "donations:c", "donate", &donate]);
    // A release that was mounted beside the image's own.
    let mounted = volume.folder.path().join("releases/0.2.0");
    e2e::home::copy(&home.path().join("releases/0.2.0"), &mounted).unwrap();
    let line = ["upgrade", "0.2.0", "--probation", "0s"];
    assert_eq!(volume.ask(&old, &line)["outcome"], "committed");
    assert_eq!(total(&volume, &old), "5.00");
    let said = running.exec(&["bin/host", "--json", "remote"], "status\n");
    let status: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(status["version"], "0.2.0", "{said}");
    let log = running.stop();
    assert!(log.contains("the host is ready"), "{log}");

    // The next image on the old volume, which has the release before.
    let new = Image::unpack(&image(&home, "0.3.0", out.path()));
    let running = volume.run(&new);
    let status = volume.ask(&new, &["status"]);
    let version: Version = status["version"].as_str().unwrap().parse().unwrap();
    assert_eq!(version, Version::new(0, 3, 0), "{status}");
    assert_eq!(total(&volume, &new), "5.00");
    running.stop();

    // Neither a shell nor any other tool.
    for folder in ["bin", "usr/bin", "sbin"] {
        assert!(!old.root.path().join(folder).exists(), "{folder}");
    }
}

fn total(volume: &Volume, image: &Image) -> Value {
    volume.ask(image, &["rpc", "donations:c", "summary", "{}"])["total"].clone()
}
