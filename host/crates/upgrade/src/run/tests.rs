//! Gates that are closed while the store is slow, or while the host ends. Of the plugin behind
//! them no release has anything: who comes through is told so, and who waits is not. And what
//! is said of an upgrade that can go nowhere, for no release can be read.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use host_actors::{
    Actors, Answer, Audience, Boundless, CallError, Limits, News, NoCourier, Only, Request, Ticket,
};
use host_journal::store::{AppendError, Group, Store};
use host_journal::{Journal, StoreError, open_sqlite};
use host_loader::{Inspector, Loader};
use host_model::ActorId;
use host_model::flight::Asker;
use host_model::plan::{Action, Step, Undo};
use host_proof::rehearsal::Rehearser;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, broadcast};

use super::*;
use crate::assemble::Assembler;
use crate::engine::{Hooks, PROGRESS_BEHIND_MAX, Parts};
use crate::releases::Releases;
use crate::samples::upgrade;
use crate::verify::Machine;
use crate::wishes::Asked;

const PLUGIN: &str = "p";

/// Nobody is inside a gate here.
const LONG: Duration = Duration::from_secs(30);

/// A store that writes nothing while this is held.
struct Slow {
    inner: Box<dyn Store>,
    held: Arc<Mutex<()>>,
}

impl Store for Slow {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        let _until_it_is_free = self.held.blocking_lock();
        self.inner.append(group)
    }

    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError> {
        self.inner.without_snapshot(actors)
    }

    fn maintain(&mut self) {
        self.inner.maintain();
    }

    fn close(self: Box<Self>) {
        self.inner.close();
    }

    fn abandon(self: Box<Self>) {
        self.inner.abandon();
    }
}

struct Nobody;

impl Audience for Nobody {
    fn broadcast(&self, _: News) {}
    fn switched(&self, _: &ActorId, _: &Version, _: &Version) {}
    fn crashed(&self, _: &ActorId, _: &str) {}
    fn topics(&self, _: &str) -> Vec<ActorId> {
        Vec::new()
    }
}

/// A host without plugins.
struct Home {
    upgrader: Arc<Upgrader>,
    actors: Arc<Actors>,
    /// Of its store: see [`Slow`].
    held: Arc<Mutex<()>>,
    _folder: TempDir,
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<Answer, CallError>> + 'a>>;

impl Home {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let held = Arc::default();
        let actors = actors(&folder.path().join("host.db"), &held);
        Self {
            upgrader: upgrader(folder.path(), &actors),
            actors,
            held,
            _folder: folder,
        }
    }

    /// An upgrade in this state, whose plan closes the gate.
    fn run(&self, state: State) -> Run {
        self.run_of(upgrade(state))
    }

    /// This one, whose plan closes the gate.
    fn run_of(&self, mut upgrade: Upgrade) -> Run {
        upgrade.plan.steps = vec![Step {
            action: Action::Suspend {
                plugin: PLUGIN.to_owned(),
            },
            timeout_ms: None,
            undo: Undo::Resume,
        }];
        let (progress, _) = broadcast::channel(PROGRESS_BEHIND_MAX);
        let running = Arc::new(Running::new(&upgrade, progress));
        Run::new(
            Arc::clone(&self.upgrader),
            running,
            upgrade,
            Wish::default(),
        )
    }

    /// Someone who waits before the closed gate.
    async fn waits(&self) -> Call<'_> {
        let request = Request {
            actor: ActorId::new(PLUGIN, "a").unwrap(),
            event: "add".to_owned(),
            payload: Bytes::new(),
            only: Only::Either,
            claims: Bytes::new(),
            principal: String::new(),
            version: None,
            idempotency_key: None,
        };
        let mut call: Call<'_> = Box::pin(self.actors.call(request));
        let looked = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert_eq!(looked, Poll::Pending, "the gate is closed");
        call
    }
}

/// It was let pass, and did not wait until callers do no longer.
async fn assert_passes(call: Call<'_>) {
    let refused = call.await.unwrap_err();
    assert_eq!(refused.reason(), "unknown_plugin", "{refused}");
}

fn actors(store: &Path, held: &Arc<Mutex<()>>) -> Arc<Actors> {
    let (sender, done) = host_actors::channel();
    let mut opened = open_sqlite(store, None).unwrap();
    opened.store = Box::new(Slow {
        inner: opened.store,
        held: Arc::clone(held),
    });
    let journal: Journal<Ticket> = Journal::start(opened, sender).unwrap();
    let actors = Actors::open(host_actors::Parts {
        journal: Arc::new(journal),
        done,
        audience: Arc::new(Nobody),
        courier: Arc::new(NoCourier),
        release: Release {
            version: Version::new(0, 1, 0),
            plugins: Default::default(),
            before: Default::default(),
            installed: Vec::new(),
        },
        memory: Arc::new(Boundless),
        limits: Limits::default(),
        sweepers: Handle::current(),
        data: Handle::current(),
    });
    actors.unwrap()
}

/// One that has nothing to begin a child with.
fn upgrader(folder: &Path, actors: &Arc<Actors>) -> Arc<Upgrader> {
    let nothing = || PathBuf::from("/bin/false");
    let images = folder.join("images");
    let inspector = Inspector {
        program: nothing(),
        args: Vec::new(),
    };
    let loader = Loader::new(&images, inspector).unwrap();
    let releases = Releases::new(vec![folder.to_owned()]);
    let assembler = Assembler::new(Arc::new(loader), releases, Booked::default());
    Upgrader::start(Parts {
        actors: Arc::clone(actors),
        assembler: Arc::new(assembler),
        machine: Machine {
            runs: host_package::Machine {
                host: Version::new(0, 1, 0),
                target: String::new(),
                libc: String::new(),
            },
            images: images.clone(),
            store: None,
        },
        rehearser: Rehearser {
            program: nothing(),
            args: Vec::new(),
            images,
        },
        last_words: folder.join("way-back"),
        booked: Booked::default(),
        recovered: None,
        control: Handle::current(),
        hooks: Hooks {
            permanent: Box::new(|_| {}),
            transition: Box::new(|_| {}),
            configuration: Box::new(|_| Ok(Vec::new())),
            leave: Box::new(|_, _| Ok(())),
            rules: Box::new(|_| {}),
            restart: Box::new(|| {}),
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_opens_while_the_store_is_slow_and_is_closed_anew_for_the_switch() {
    let home = Home::start();
    let mut run = home.run(State::Staged);
    home.actors.suspend(PLUGIN, LONG).await.unwrap();
    let waiting = home.waits().await;
    let slow = home.held.lock().await;
    let writing = tokio::spawn(async move {
        let written = run.write(run.book()).await;
        (run, written.is_ok())
    });
    assert_passes(waiting).await;
    assert!(!writing.is_finished(), "the store has it not yet");
    drop(slow);
    let (mut run, is_written) = writing.await.unwrap();
    assert!(is_written);
    run.close_gates().await.unwrap();
    let waiting = home.waits().await;
    run.open_gates();
    assert_passes(waiting).await;
    home.actors.journal().close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_open_when_the_host_ends_under_an_upgrade() {
    let home = Home::start();
    let run = home.run(State::Planned);
    home.actors.suspend(PLUGIN, LONG).await.unwrap();
    let waiting = home.waits().await;
    home.actors.journal().close();
    run.go_on().await;
    assert_passes(waiting).await;
}

/// The last state that is told before the report, and that.
async fn ended(said: &mut broadcast::Receiver<Progress>) -> (String, UpgradeReport) {
    let mut last = String::new();
    loop {
        match said.recv().await.unwrap() {
            Progress::State { state, .. } => last = state,
            Progress::Ended(report) => return (last, report),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_what_gets_stuck_hears_so_each_time_that_it_is_tried() {
    let home = Home::start();
    for rollback in [false, true] {
        let reason = Reason::blameless("why");
        let run = home.run_of(Upgrade {
            rollback,
            ..upgrade(State::RollingBack { reason })
        });
        let running = Arc::clone(&run.running);
        let mut said = running.listen();
        tokio::spawn(run.go_on());
        for _ in 0..2 {
            let (state, report) = ended(&mut said).await;
            assert_eq!((&*state, report.outcome), ("stuck", Outcome::Stuck));
            let reason = report.reason.unwrap();
            assert!(reason.starts_with("why; "), "{reason}");
            let status = running.status(&home.actors);
            assert_eq!((&*status.state, status.reason), ("stuck", Some(reason)));
            // What it was stuck for before is not heard again.
            said = running.ask(Asked::RollBack, &Asker::default()).unwrap();
            let tried = said.recv().await.unwrap();
            let is_back = |state: &str| state == "rolling_back";
            assert!(
                matches!(&tried, Progress::State { state, .. } if is_back(state)),
                "{tried:?}"
            );
        }
    }
    home.actors.journal().close();
}
