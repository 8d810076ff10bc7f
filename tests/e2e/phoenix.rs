//! The npm package `phoenix`, unchanged, against a host.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use e2e::tls::Certificate;
use e2e::{Home, Tally};
use host_model::control::Outcome;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

/// A script of `tests/js` that runs. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Node {
    pub(crate) fn run(script: &str, arguments: &Value) -> Self {
        Self::trusting(None, script, arguments)
    }

    /// As [`Node::run`], with one more certificate to trust.
    pub(crate) fn trusting(certificate: Option<&Path>, script: &str, arguments: &Value) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
        assert!(
            folder.join("node_modules").is_dir(),
            "install what the scripts need: npm ci in {}",
            folder.display()
        );
        let mut child = Command::new("node")
            .current_dir(folder)
            .arg(script)
            .arg(arguments.to_string())
            .envs(certificate.map(|file| ("NODE_EXTRA_CA_CERTS", file)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            child,
            input,
            output,
        }
    }

    /// The next line that it prints, which is JSON. The script's own deadlines bound
    /// the waiting.
    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("the script printed {line:?}: {e}"))
    }

    pub(crate) fn tell(&mut self) {
        writeln!(self.input).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `load.mjs` prints at its end.
#[derive(Debug, Deserialize)]
struct Seen {
    acknowledged: BTreeMap<String, Vec<(String, i64)>>,
    socket_closes: u64,
    socket_errors: u64,
    channel_closes: u64,
    channel_errors: u64,
    joins: usize,
    join_errors: u64,
    error_replies: BTreeMap<String, u64>,
    timeouts: u64,
    releases: BTreeMap<usize, Vec<String>>,
    disorders: u64,
    broadcasts: u64,
    longest_wait_ms: u64,
}

impl Seen {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (actor, donations) in &self.acknowledged {
            for (id, cents) in donations {
                tally.add(actor, id, Decimal::new(*cents, 2));
            }
        }
        tally
    }
}

#[test]
fn the_real_client_finds_the_protocol_it_knows() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    conforms(
        &home,
        Node::run("conformance.mjs", &json!({ "port": port })),
    );
}

#[test]
fn the_real_client_finds_it_inside_tls_too() {
    let home = Home::new().unwrap();
    let certificate = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    certificate.configure(&home).unwrap();
    let port = home.start().unwrap().port;
    let arguments = json!({ "port": port, "tls": true });
    let node = Node::trusting(Some(&certificate.file), "conformance.mjs", &arguments);
    conforms(&home, node);
}

fn conforms(home: &Home, mut node: Node) {
    let passed = loop {
        let line = node.line();
        if line["do"] == "restart" {
            home.done(&["restart"]).unwrap();
            node.tell();
        } else {
            break line;
        }
    };
    assert!(passed["passed"].is_array(), "{passed:#}");
}

#[test]
fn a_thousand_clients_notice_nothing_of_ten_switches() {
    const CLIENTS: usize = 1_000;
    const CAMPAIGNS: usize = 400;
    const ROUNDS: usize = 5;
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = json!({"port": port, "clients": CLIENTS, "campaigns": CAMPAIGNS, "pace_ms": 1_000});
    let mut node = Node::run("load.mjs", &load);
    assert_eq!(node.line(), json!({"ready": true}));
    assert_eq!(home.status().unwrap().connections, CLIENTS as u64);

    for _ in 0..ROUNDS {
        for (report, to) in [(home.upgrade("0.2.0"), "0.2.0"), (home.rollback(), "0.1.0")] {
            let report = report.unwrap();
            assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
            assert_eq!(report.to.to_string(), to);
            assert!(report.actors_migrated >= CAMPAIGNS as u64, "{report:?}");
        }
    }
    assert_eq!(home.status().unwrap().connections, CLIENTS as u64);
    node.tell();
    let line = node.line();
    let seen: Seen = serde_json::from_value(line).unwrap();

    assert_eq!(
        (seen.socket_closes, seen.socket_errors),
        (0, 0),
        "no connection closes"
    );
    assert_eq!(
        (seen.channel_closes, seen.channel_errors),
        (0, 0),
        "no channel ends"
    );
    assert_eq!(
        (seen.joins, seen.join_errors),
        (CLIENTS + CAMPAIGNS, 0),
        "nobody joins twice"
    );
    assert_eq!(seen.error_replies, BTreeMap::new(), "no error is answered");
    assert_eq!((seen.timeouts, seen.disorders), (0, 0));
    assert!(seen.broadcasts > 0);
    assert!(
        seen.longest_wait_ms < 5_000,
        "waited {} ms",
        seen.longest_wait_ms
    );

    let switches: Vec<_> = ["0.2.0", "0.1.0"].repeat(ROUNDS);
    assert_eq!(
        seen.releases.len(),
        CLIENTS,
        "every client is told of releases"
    );
    for (client, releases) in &seen.releases {
        assert_eq!(*releases, switches, "client {client}");
    }
    let audit = seen.tally().audit(&home).unwrap();
    assert!(audit.acknowledged > CLIENTS as u64, "{audit:?}");
    audit.exact().unwrap();
}
