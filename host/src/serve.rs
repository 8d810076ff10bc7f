//! The host itself: opens the layers from the journal upwards, and closes them
//! from the gateway downwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host_actors::{Actors, Limits, Ticket};
use host_cli::Failure;
use host_cli::failure::EXIT_LOOK;
use host_control::{Control, ControlServer, GatewayStatus, Peer};
use host_gateway::{Gateway, Hub, Webhooks};
use host_journal::{Action, Done, Journal, OpenError, Outcome, unix_ms};
use host_loader::Loader;
use host_model::Version;
use host_model::limits::STOP_TIMEOUT;
use host_model::release::Start;
use host_upgrade::{Assembler, Book, Booked, Hooks, Retention, Upgrader, recover};
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde_json::json;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::config::{Config, Environment, LogFormat, Store};
use crate::exit;
use crate::heap::Heap;
use crate::home::Home;
use crate::pidfile::holder;

mod readiness;

use readiness::Ready;

/// Threads of the control runtime: it has little to do, and always has to do it.
const CONTROL_THREADS: usize = 1;

/// Between two looks at whether the host has to end by itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a host is that runs: its layers, the lowest first.
struct Layers {
    journal: Arc<Journal<Ticket>>,
    actors: Arc<Actors>,
    upgrader: Arc<Upgrader>,
    gateway: Arc<Gateway>,
    ready: Arc<Ready>,
    stop: Arc<Notify>,
    _control: ControlServer,
}

/// Closes the lower layers again, in order, where a start fails above them: what they
/// have under way must have ended before the runtimes do. Empty, once the host serves.
struct CloseUnlessServed(Option<Arc<Actors>>);

impl Drop for CloseUnlessServed {
    fn drop(&mut self) {
        if let Some(actors) = self.0.take() {
            actors.stop();
            actors.journal().close();
        }
    }
}

/// Serves until it is stopped; calls `ready` when clients may come. Returns the
/// exit code: 0 stopped in order, 5 an operator must look, or one of [`exit`].
///
/// # Errors
///
/// What kept it from starting.
pub(crate) fn serve(
    home: Home,
    config: Config,
    take_over: bool,
    ready: impl FnOnce(),
) -> Result<u8> {
    log(&config);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let control = runtime("control", CONTROL_THREADS, None)?;
    let cores = || std::thread::available_parallelism().map_or(2, usize::from);
    let threads = config.runtime.threads.unwrap_or_else(cores);
    let data = runtime("data", threads, config.runtime.stack_bytes)?;
    let code = control.block_on(async {
        let Some(layers) = open(&home, &config, take_over, data.handle()).await? else {
            return Ok(exit::AGAIN);
        };
        ready();
        let code = until_the_end(&layers, &config).await?;
        close(layers).await;
        Ok(code)
    });
    // A thread that is stuck in a plugin is not waited for.
    data.shutdown_background();
    control.shutdown_background();
    code
}

fn runtime(name: &'static str, threads: usize, stack_bytes: Option<usize>) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(bytes) = stack_bytes {
        builder.thread_stack_size(bytes);
    }
    builder
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .with_context(|| format!("start the {name} runtime"))
}

/// The actors' bounds, where an operator has set them.
fn limits(config: &Config) -> Limits {
    let (set, default) = (config.runtime, Limits::default());
    Limits {
        awake_max: set.awake_actors.unwrap_or(default.awake_max),
        mailbox_max: set.mailbox_messages.unwrap_or(default.mailbox_max),
        idle: set.idle_s.map_or(default.idle, Duration::from_secs),
        ..default
    }
}

/// Log lines go to standard output: the log file, the journal of systemd, or a terminal.
fn log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(&config.log_filter);
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    let set = match config.log_format {
        LogFormat::Pretty => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if let Err(error) = set {
        eprintln!("log lines are not shown: {error}");
    }
}

/// Opens the layers. None: another release is to be booted, by its own program.
async fn open(
    home: &Home,
    config: &Config,
    take_over: bool,
    data: &Handle,
) -> Result<Option<Layers>> {
    let (hand_back, done) = host_actors::channel();
    let journal = Arc::new(journal(home, config, take_over, hand_back)?);
    let booked = Booked::read(&journal)?;
    let found = home.permanent()?.manifest.version;
    let recovery = recover(&booked, &found)?;
    if recovery.boot != found {
        // The commit came so far; the file that the launcher reads did not.
        home.set_permanent(&recovery.boot)?;
        journal.close();
        return Ok(None);
    }
    let inspector = crate::inspect::inspector().context("find this program")?;
    let loader = Arc::new(Loader::new(&home.images(), inspector)?);
    let assembler = Assembler::new(Arc::clone(&loader), home.releases(), booked.clone());
    let assembler = Arc::new(assembler);
    let release = assembler.assemble(&assembler.releases().read(&recovery.boot)?, None)?;
    let first = booked.permanent.is_none();

    let hub = Hub::new();
    let actors = Actors::start(host_actors::Parts {
        journal: Arc::clone(&journal),
        done,
        audience: Arc::clone(&hub) as _,
        courier: Arc::new(Webhooks::new(config.ssl_cert_file.as_deref())?),
        release,
        limits: limits(config),
        memory: Arc::new(Heap::new(config.runtime.memory_bytes)),
        data: data.clone(),
    })?;
    let mut unserved = CloseUnlessServed(Some(Arc::clone(&actors)));
    if first {
        let manifest = assembler.releases().read(&recovery.boot)?.manifest;
        assembler.know(&manifest);
        let book = Book::new().permanent(&recovery.boot, None);
        book.digests(&manifest).write(&actors).await?;
        home.set_permanent(&recovery.boot)?;
    }
    if take_over {
        record_take_over(&actors, &recovery.boot).await?;
    }
    let booked = Booked::read(&journal)?;
    let ready = Arc::new(Ready::new(Arc::clone(&actors)));
    let upgrader = Upgrader::start(host_upgrade::Parts {
        actors: Arc::clone(&actors),
        assembler,
        host: crate::release::host_version(),
        target: crate::release::target(),
        rehearser: crate::inspect::rehearser(home).context("find this program")?,
        booked,
        recovered: recovery.upgrade,
        control: Handle::current(),
        hooks: hooks(home, config),
    });
    let gateway = Gateway::start(
        host_gateway::Config {
            address: None,
            port: config.port,
        },
        &Handle::current(),
        data.clone(),
        Arc::clone(&actors),
        hub,
        {
            let ready = Arc::clone(&ready);
            Arc::new(move || ready.reasons())
        },
    )?;
    let gateway = Arc::new(gateway);
    if let Some(days) = config.retention_days {
        let retention = Retention {
            upgrader: Arc::clone(&upgrader),
            key: home.anchor_key(),
            days,
        };
        // On the data runtime: it waits for the disk. It ends with that.
        data.spawn(retention.run());
    }
    let stop = Arc::new(Notify::new());
    let control = Arc::new(Control {
        actors: Arc::clone(&actors),
        upgrader: Arc::clone(&upgrader),
        loader,
        data: data.clone(),
        gateway: {
            let gateway = Arc::clone(&gateway);
            Box::new(move || gateway_status(&gateway))
        },
        readiness: {
            let ready = Arc::clone(&ready);
            Box::new(move || ready.for_operators())
        },
        store: store_name(home, &config.store),
        anchor_key: home.anchor_key(),
        started: Instant::now(),
        stop: Arc::clone(&stop),
        keeper: {
            let home = home.clone();
            Box::new(move || keeper(&home).map(drop))
        },
        restart: {
            let home = home.clone();
            Box::new(move || restart(&home))
        },
    });
    serve_admin(config.admin_port, Arc::clone(&control)).await?;
    let server = ControlServer::listen(&home.socket(), control)?;
    tracing::info!(release = %recovery.boot, port = gateway.port(), "the host is ready");
    unserved.0 = None;
    Ok(Some(Layers {
        journal,
        actors,
        upgrader,
        gateway,
        ready,
        stop,
        _control: server,
    }))
}

/// That this start was one with `--take-over` is in the trail of what operators did. The
/// store could not be written to before it was taken, so both records stand behind that.
async fn record_take_over(actors: &Actors, release: &Version) -> Result<()> {
    let peer = Peer::this_process();
    let action = Action {
        name: "start".to_owned(),
        principal: peer.principal(),
        peer: peer.facts(),
        arguments: json!({"take_over": true}),
        release: release.clone(),
    };
    let intent = actors.record_action(action.intended(unix_ms())).await?;
    let ended = action.ended(unix_ms(), intent, &Outcome::done());
    actors.record_action(ended).await?;
    Ok(())
}

/// What is done at moments of an upgrade.
fn hooks(home: &Home, config: &Config) -> Hooks {
    let permanent = {
        let home = home.clone();
        move |version: &Version| {
            if let Err(error) = home.set_permanent(version) {
                // The store knows, and the next start writes it again.
                tracing::error!(%error, "data/permanent could not be written");
            }
        }
    };
    let abort_after = match config.environment {
        Environment::Dev => std::env::var(ABORT_AFTER).ok(),
        Environment::Prod => None,
    };
    let transition = move |state: &str| {
        if abort_after.as_deref() == Some(state) {
            tracing::warn!(state, "{ABORT_AFTER} ends the host here");
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    Hooks {
        permanent: Box::new(permanent),
        transition: Box::new(transition),
    }
}

/// In development, the state of an upgrade behind which the host kills itself: how
/// the tests show that every transition survives it.
const ABORT_AFTER: &str = "HOST_ABORT_AFTER";

fn gateway_status(gateway: &Gateway) -> GatewayStatus {
    GatewayStatus {
        connections: gateway.connections() as u64,
        port: gateway.port(),
        counters: gateway.counters().all(),
    }
}

/// The store, without secrets.
fn store_name(home: &Home, store: &Store) -> String {
    let (path, default) = match store {
        Store::Sqlite { path, default } => (path, *default),
        Store::Postgres { address, .. } => return address.to_string(),
    };
    let path = path.strip_prefix(&home.data).unwrap_or(path);
    let note = if default { " (embedded default)" } else { "" };
    format!("sqlite:{}{note}", path.display())
}

/// The process of this host's keeper.
fn keeper(home: &Home) -> Result<Pid, String> {
    let pid = holder(&home.keeper_pid_file()).and_then(|pid| i32::try_from(pid).ok());
    pid.and_then(Pid::from_raw).ok_or_else(|| {
        "restart the host: it runs without a keeper; restart it by what started it, or `host stop` and `host start`".to_owned()
    })
}

/// Tells the keeper to end this host and to boot it anew.
fn restart(home: &Home) -> Result<(), String> {
    kill_process(keeper(home)?, Signal::HUP)
        .map_err(|e| format!("restart the host: signal its keeper: {e}"))
}

/// Opens the journal, on whatever store it is.
fn journal(
    home: &Home,
    config: &Config,
    take_over: bool,
    hand_back: impl FnMut(Vec<Done<Ticket>>) + Send + 'static,
) -> Result<Journal<Ticket>> {
    let opened = config.store.open(home, take_over);
    let opened = opened.and_then(|opened| Journal::start(opened, hand_back));
    let attempted = || format!("open the store {}", store_name(home, &config.store));
    opened.map_err(|error| match error {
        // Another start finds the same.
        error if error.must_look() => {
            let reason = match error {
                OpenError::Behind { .. } => "store_behind",
                _ => "store_damaged",
            };
            let message = format!("{}: {:#}", attempted(), anyhow::Error::from(error));
            Failure::look(reason, message).into()
        }
        error => anyhow::Error::from(error).context(attempted()),
    })
}

/// The operators' port, on loopback.
async fn serve_admin(port: u16, control: Arc<Control>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .with_context(|| {
            format!("listen on 127.0.0.1:{port} for /metrics: is it in use? set ADMIN_PORT")
        })?;
    let router = host_control::admin(control);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "/metrics is no longer served");
        }
    });
    Ok(())
}

/// Waits until the host is told to end, or has to. The exit code.
async fn until_the_end(layers: &Layers, config: &Config) -> Result<u8> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(0),
            _ = interrupt.recv() => return Ok(0),
            () = layers.stop.notified() => return Ok(0),
            _ = look.tick() => {
                if let Some(why) = layers.journal.poisoned() {
                    if layers.journal.must_look() {
                        tracing::error!(%why, "the store is not this host's any more: the host ends, and boots when an operator has looked");
                        return Ok(EXIT_LOOK);
                    }
                    tracing::error!(%why, "the store failed in a commit: the host ends, and the next start finds out what it holds");
                    return Ok(exit::STORE);
                }
                layers.ready.probe();
                let failed = layers.actors.failed_plugins();
                let permanent = failed.iter().find(|(_, start)| **start == Start::Permanent);
                if let Some((plugin, _)) = permanent
                    && config.environment == Environment::Prod
                {
                    tracing::error!(plugin, "a permanent plugin is past its limit of faults: the host ends");
                    return Ok(exit::PLUGIN);
                }
            }
        }
    }
}

/// Closes the layers from the top: no new work, what has begun ends, the journal
/// has it all.
async fn close(layers: Layers) {
    tracing::info!("the host is stopping");
    layers.ready.stop();
    layers.upgrader.stop().await;
    if let Some(left) = layers.gateway.stop(STOP_TIMEOUT).await {
        tracing::warn!(?left, "not all that clients had begun has ended in time");
    }
    layers.actors.stop();
    let journal = Arc::clone(&layers.journal);
    let closed = tokio::task::spawn_blocking(move || journal.close());
    match tokio::time::timeout(STOP_TIMEOUT, closed).await {
        Ok(_) => tracing::info!("the host has stopped"),
        Err(_) => {
            tracing::error!("the journal could not be closed in time; the next start checks it")
        }
    }
}
