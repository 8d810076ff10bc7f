//! The replay law with real libraries: those of the platform keep it, and one that is
//! fickle is caught in each of its ways.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod fickle;
mod platform;
mod rehearsal;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use host_loader::{Accepted, Call, Caller, Inspector, Loader, Plugin, State, Verdict};
use host_proof::{Base, Code, Course, Event, Law, LawError, OtherProcess, Replayed};
use serde_json::Value;
use tempfile::TempDir;

const PACKAGES: [&str; 9] = [
    "donations-v0-1-0",
    "donations-v0-2-0",
    "donations-v0-3-0",
    "faulty-v0-1-0",
    "faulty-v0-2-0",
    "faulty-v0-3-0",
    "fickle-v0-1-0",
    "zakat-v0-1-0",
    "zakat-v0-2-0",
];

/// 2025-03-01, noon, UTC.
const NOON_MS: i64 = 1_740_830_400_000;

/// Where this profile's programs and libraries lie. Cargo builds no cdylib for a test,
/// so this asks for them once.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().to_owned();
    let profile = match built.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "--profile", profile, "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(built.parent().unwrap())
        .args(["--lib", "--example", "replay", "--example", "rehearsal"])
        .args(["-p", "host-proof"]);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    assert!(command.status().unwrap().success(), "{command:?} failed");
    built
});

/// Libraries that are open, and the other process.
struct Bench {
    _folder: TempDir,
    loader: Loader,
    plugins: Vec<(Arc<Plugin>, PathBuf)>,
    other: OtherProcess,
}

impl Bench {
    fn with(packages: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let program = BUILT.join("examples/replay");
        let inspector = Inspector {
            program: program.clone(),
            args: Vec::new(),
        };
        let loader = Loader::new(&folder.path().join("images"), inspector).unwrap();
        let mut bench = Self {
            other: OtherProcess::new(program, Vec::<String>::new()),
            _folder: folder,
            loader,
            plugins: Vec::new(),
        };
        for package in packages {
            assert!(PACKAGES.contains(package), "{package} is not in PACKAGES");
            let library = BUILT.join(format!("lib{}.so", package.replace('-', "_")));
            let plugin = bench.loader.load(&library, None).unwrap();
            bench.plugins.push((plugin, library));
        }
        bench
    }

    fn plugin(&self, at: usize) -> &Arc<Plugin> {
        &self.plugins[at].0
    }

    fn judge(&self, course: &Course) -> Result<Replayed, LawError> {
        let code = Code::of(self.plugins.iter().cloned());
        Law::new(&code)
            .in_another_process(&self.other)
            .holds(course)
    }
}

/// An actor that writes down what a journal would.
struct Actor {
    state: State,
    course: Course,
}

impl Actor {
    fn new(plugin: &Arc<Plugin>, key: &str) -> Self {
        let state = plugin.new_state(key).unwrap();
        Self {
            state,
            course: Course {
                actor: format!("{}:{key}", plugin.name()).parse().unwrap(),
                start: None,
                events: Vec::new(),
                snapshots: Vec::new(),
            },
        }
    }

    fn send(&mut self, command: &str, payload: &Value) {
        let seq = self.course.end();
        let payload = payload.to_string();
        let call = Call {
            key: self.course.actor.key(),
            event: command,
            payload: payload.as_bytes(),
            claims: b"",
            now_ms: NOON_MS + i64::try_from(seq).unwrap(),
            seed: seq,
            seq,
            caller: Caller::CLIENT,
            hops: 0,
        };
        match self.state.handle(&call).unwrap() {
            Verdict::Accepted(Accepted {
                event: Some(event), ..
            }) => self.course.events.push(Event {
                seq: seq + 1,
                version: self.state.plugin().version().clone(),
                event,
            }),
            said => panic!("{command} {payload} has no event: {said:?}"),
        }
    }

    /// The state as a store would have it.
    fn base(&self) -> Base {
        Base {
            seq: self.course.end(),
            version: self.state.plugin().version().clone(),
            state: self.state.export().unwrap(),
        }
    }

    /// Writes the state down, and goes on.
    fn snapshot(&mut self) {
        let base = self.base();
        self.course.snapshots.push(base);
    }
}
