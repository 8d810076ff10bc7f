//! A journal in a folder, the faulty plugins, and someone who listens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host_actors::{
    Actors, Answer, Attempt, Audience, CallError, Code, Courier, Delivery, Limits, News, Only,
    Parts, Release, Request, Route, RouteEdge, RouteHop, Ruling, Ticket,
};
use host_journal::store::{Opened, Reader, Store};
use host_journal::{Done, Entry, Journal, Options, Rows, open_sqlite};
use host_loader::{Inspector, Loader};
use host_model::plan::StateChange;
use host_model::release::Start;
use host_model::{ActorId, Version};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a machine that does much else.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A home that actors can be started on, again and again.
pub(crate) struct Home {
    folder: TempDir,
    store: PathBuf,
    /// Of 0.1.0, 0.2.0 and 0.3.0.
    codes: [Arc<Code>; 3],
    /// Of 0.1.1.
    patch: Arc<Code>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) server: Arc<Server>,
}

/// What was told to the audience, as `actor event payload`.
#[derive(Default)]
pub(crate) struct Heard {
    lines: Mutex<Vec<String>>,
    /// The topics that someone has joined.
    pub(crate) joined: Mutex<Vec<ActorId>>,
}

impl Heard {
    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().clone()
    }

    fn hear(&self, line: String) {
        self.lines.lock().push(line);
    }
}

/// Takes webhooks, or not.
#[derive(Default)]
pub(crate) struct Server {
    /// All that was sent.
    sent: Mutex<Vec<Delivery>>,
    /// Whether it takes what is sent.
    pub(crate) takes: AtomicBool,
}

impl Server {
    pub(crate) fn sent(&self) -> Vec<Delivery> {
        self.sent.lock().clone()
    }
}

impl Courier for Server {
    fn deliver(&self, delivery: Delivery) -> Attempt {
        self.sent.lock().push(delivery);
        let takes = self.takes.load(Ordering::SeqCst);
        let answer = takes.then_some(()).ok_or("it answered 503".to_owned());
        Box::pin(std::future::ready(answer))
    }
}

impl Audience for Heard {
    fn broadcast(&self, news: News) {
        let News {
            actor,
            event,
            payload,
            seq,
            ..
        } = news;
        self.hear(format!("{actor} {event} {payload} at {seq}"));
    }
    fn switched(&self, id: &ActorId, release: &Version, plugin: &Version) {
        self.hear(format!("{id} switched to {plugin} of {release}"));
    }
    fn crashed(&self, id: &ActorId, reason: &str) {
        self.hear(format!("{id} {reason}"));
    }
    fn topics(&self, plugin: &str) -> Vec<ActorId> {
        let joined = self.joined.lock().clone().into_iter();
        joined.filter(|id| id.plugin() == plugin).collect()
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inspector = Inspector {
            program: std::env::current_exe().unwrap(),
            args: ["inspect_child", "--exact", "--nocapture"]
                .map(str::to_owned)
                .into(),
        };
        let loader = Loader::new(&folder.path().join("images"), inspector).unwrap();
        let open = |name| Code::new(loader.load(&library(name), None).unwrap());
        Self {
            codes: ["faulty_v0_1_0", "faulty_v0_2_0", "faulty_v0_3_0"].map(open),
            patch: open("faulty_v0_1_1"),
            store: folder.path().join("host.db"),
            folder,
            heard: Arc::default(),
            server: Arc::default(),
        }
    }

    /// What the next start finds is what a kill at this moment leaves. The host that
    /// runs goes on with what it has.
    pub(crate) fn killed(&mut self) {
        let folder = self.folder.path().join("killed");
        std::fs::create_dir(&folder).unwrap();
        let store = folder.join("host.db");
        std::fs::copy(&self.store, &store).unwrap();
        let log = |store: &Path| store.with_extension("db-wal");
        std::fs::copy(log(&self.store), log(&store)).unwrap();
        self.store = store;
    }

    /// Release 0.1.0 with faulty 0.1.0, and so on; the ways from the others are laid, each
    /// through those between. Before it ruled the one that is nearest.
    pub(crate) fn release(&self, minor: u64) -> Release {
        let before = if minor == 1 { 2 } else { minor - 1 };
        self.release_after(minor, before)
    }

    /// As [`Home::release`], after another one.
    pub(crate) fn release_after(&self, minor: u64, before: u64) -> Release {
        let code = |minor: u64| Arc::clone(&self.codes[usize::try_from(minor).unwrap() - 1]);
        let others = (1..=3).filter(|other| *other != minor);
        let way = |from: u64| -> Vec<RouteHop> {
            let (steps, change): (Vec<u64>, _) = match from < minor {
                true => ((from + 1..=minor).collect(), StateChange::Up),
                false => ((minor..from).rev().collect(), StateChange::Down),
            };
            let hop = |step| RouteHop {
                to: code(step),
                change,
                timeout: None,
                restart: false,
            };
            steps.into_iter().map(hop).collect()
        };
        let routes = others.map(|from| Route {
            from: code(from),
            hops: way(from),
        });
        let ruling = Ruling {
            code: code(minor),
            start: Start::Permanent,
            routes: routes.collect(),
            edges: Vec::new(),
            readable: Vec::new(),
        };
        Release {
            version: Version::new(0, minor, 0),
            plugins: [("faulty".to_owned(), ruling)].into(),
            before: BTreeMap::from([("faulty".to_owned(), code(before).version().clone())]),
            installed: Vec::new(),
        }
    }

    /// Release 0.1.1, of which only the code is new, and release 0.2.0 behind it.
    pub(crate) fn patched(&self) -> [Release; 2] {
        let [old, new, _] = self.codes();
        let release = |from: &Arc<Code>, to: &Arc<Code>, change| {
            let hop = RouteHop {
                to: Arc::clone(to),
                change,
                timeout: None,
                restart: false,
            };
            let ruling = Ruling {
                code: Arc::clone(to),
                start: Start::Permanent,
                routes: vec![Route {
                    from: Arc::clone(from),
                    hops: vec![hop],
                }],
                edges: Vec::new(),
                readable: vec![Arc::clone(&old)],
            };
            Release {
                version: to.version().clone(),
                plugins: [("faulty".to_owned(), ruling)].into(),
                before: BTreeMap::from([("faulty".to_owned(), from.version().clone())]),
                installed: Vec::new(),
            }
        };
        [
            release(&old, &self.patch, StateChange::Same),
            release(&self.patch, &new, StateChange::Up),
        ]
    }

    /// Release 0.1.1, to which the way from 0.1.0 leads over 0.2.0, as for a state that has
    /// left something there.
    pub(crate) fn patched_over_newer(&self) -> Release {
        let [mut release, _] = self.patched();
        let ruling = release.plugins.get_mut("faulty").unwrap();
        let steps = [
            (&self.codes[1], StateChange::Up),
            (&self.patch, StateChange::Down),
        ];
        ruling.routes[0].hops = steps
            .map(|(to, change)| RouteHop {
                to: Arc::clone(to),
                change,
                timeout: None,
                restart: false,
            })
            .into();
        release
    }

    /// As [`Home::release`], where only these versions are installed beside it, by their
    /// minors, and ways lead from them only.
    pub(crate) fn release_beside(&self, minor: u64, others: &[u64]) -> Release {
        let mut release = self.release(minor);
        let ruling = release.plugins.get_mut("faulty").unwrap();
        let stays = |code: &Arc<Code>| others.contains(&code.version().minor);
        ruling.routes.retain(|route| stays(&route.from));
        release
    }

    /// As [`Home::release_after`], where no appup has a way down.
    pub(crate) fn release_behind_one_way(&self, minor: u64, before: u64) -> Release {
        let mut release = self.release_after(minor, before);
        let ruling = release.plugins.get_mut("faulty").unwrap();
        ruling.routes.retain(|it| it.from.version().minor < minor);
        let up = |pair: &[Arc<Code>]| one_way(&pair[0], &pair[1], StateChange::Up);
        ruling.edges = self.codes.windows(2).map(up).collect();
        ruling.readable = self.codes.to_vec();
        release
    }

    /// Release 0.1.0 behind 0.1.1, of which only the code is new, where the way there was the
    /// only one.
    pub(crate) fn release_behind_a_one_way_patch(&self) -> Release {
        let mut release = self.release_behind_one_way(1, 1);
        let ruling = release.plugins.get_mut("faulty").unwrap();
        ruling.edges = vec![one_way(&self.codes[0], &self.patch, StateChange::Same)];
        ruling.readable = vec![Arc::clone(&self.patch)];
        let patch = self.patch.version().clone();
        release.before = BTreeMap::from([("faulty".to_owned(), patch)]);
        release
    }

    /// The versions 0.1.0, 0.2.0 and 0.3.0.
    pub(crate) fn codes(&self) -> [Arc<Code>; 3] {
        self.codes.clone()
    }

    /// Writes to the journal as no actor would, before any is started.
    pub(crate) fn write(&self, writes: impl FnOnce(&dyn Fn(Rows))) {
        let path = self.store.clone();
        let journal = Journal::open(Options { path }, |_: Vec<Done<()>>| {}).unwrap();
        writes(&|rows| {
            let entry = Entry {
                incarnation: journal.incarnation(),
                rows,
                token: (),
            };
            journal.append(entry).unwrap();
        });
        journal.close();
    }

    pub(crate) fn start(&self, minor: u64) -> Host {
        self.start_with(minor, Limits::default())
    }

    pub(crate) fn start_with(&self, minor: u64, limits: Limits) -> Host {
        self.start_on(minor, limits, |store| store)
    }

    /// As [`Home::start`], on a store that `wrap` has had in its hands.
    pub(crate) fn start_on(
        &self,
        minor: u64,
        limits: Limits,
        wrap: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>,
    ) -> Host {
        let host = self.open_on(minor, limits, wrap);
        host.0.begin();
        host
    }

    /// As [`Home::start_on`], and nothing is done without a message.
    pub(crate) fn open_on(
        &self,
        minor: u64,
        limits: Limits,
        wrap: impl FnOnce(Box<dyn Store>) -> Box<dyn Store>,
    ) -> Host {
        self.open(minor, limits, |mut opened| {
            opened.store = wrap(opened.store);
            opened
        })
    }

    /// As [`Home::open_on`], on a store whose reading side `wrap` has had in its hands.
    pub(crate) fn open_read_by(
        &self,
        minor: u64,
        limits: Limits,
        wrap: impl FnOnce(Box<dyn Reader>) -> Box<dyn Reader>,
    ) -> Host {
        self.open(minor, limits, |mut opened| {
            opened.reader = wrap(opened.reader);
            opened
        })
    }

    fn open(&self, minor: u64, limits: Limits, wrap: impl FnOnce(Opened) -> Opened) -> Host {
        let (sender, done) = host_actors::channel();
        let opened = wrap(open_sqlite(&self.store, None).unwrap());
        let journal: Journal<Ticket> = Journal::start(opened, sender).unwrap();
        let actors = Actors::open(Parts {
            journal: Arc::new(journal),
            done,
            audience: Arc::clone(&self.heard) as _,
            courier: Arc::clone(&self.server) as _,
            release: self.release(minor),
            memory: Arc::new(host_actors::Boundless),
            limits,
            sweepers: tokio::runtime::Handle::current(),
            data: tokio::runtime::Handle::current(),
        });
        Host(actors.unwrap())
    }
}

/// Actors that run.
pub(crate) struct Host(pub(crate) Arc<Actors>);

impl Host {
    pub(crate) async fn send(
        &self,
        actor: &str,
        event: &str,
        payload: Value,
    ) -> Result<Answer, CallError> {
        self.0.call(request(actor, event, payload)).await
    }

    /// The reply to a message that must be accepted.
    pub(crate) async fn ask(&self, actor: &str, event: &str, payload: Value) -> Value {
        let answer = self.send(actor, event, payload).await;
        let answer = answer.unwrap_or_else(|e| panic!("{actor} {event}: {e}"));
        serde_json::from_slice(&answer.reply).unwrap()
    }

    pub(crate) async fn count(&self, actor: &str) -> i64 {
        let summary = self.ask(actor, "summary", Value::Null).await;
        summary["count"].as_i64().unwrap()
    }

    /// Sends a command with an idempotency key.
    pub(crate) async fn keyed(
        &self,
        key: &str,
        actor: &str,
        event: &str,
        payload: Value,
    ) -> Result<Answer, CallError> {
        let mut request = request(actor, event, payload);
        request.idempotency_key = Some(key.to_owned());
        self.0.call(request).await
    }

    /// The reason why a message is refused.
    pub(crate) async fn refused(&self, actor: &str, event: &str, payload: Value) -> String {
        let refused = self.send(actor, event, payload).await.unwrap_err();
        refused.reason().to_owned()
    }

    /// Ends it in order, as a process does.
    pub(crate) fn stop(self) {
        self.0.stop();
        self.0.journal().close();
    }
}

pub(crate) fn request(actor: &str, event: &str, payload: Value) -> Request {
    Request {
        actor: actor.parse().unwrap(),
        event: event.to_owned(),
        payload: match payload {
            Value::Null => Bytes::new(),
            payload => payload.to_string().into(),
        },
        only: Only::Either,
        claims: Bytes::new(),
        principal: String::new(),
        version: None,
        idempotency_key: None,
    }
}

/// Waits until `reached` says so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut reached: impl FnMut() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !reached().await {
        assert!(
            Instant::now() < deadline,
            "waited for {DEADLINE:?} until {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Cargo builds the libraries of dev-dependencies beside this program.
fn library(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let file = format!("lib{name}.so");
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(&file))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{file} is not beside {}", own.display()))
}

/// A step that has none back.
fn one_way(from: &Arc<Code>, to: &Arc<Code>, change: StateChange) -> RouteEdge {
    RouteEdge {
        from: from.version().clone(),
        hop: RouteHop {
            to: Arc::clone(to),
            change,
            timeout: None,
            restart: false,
        },
        reversible: false,
    }
}
