//! The host itself: opens the layers from the journal upwards, and closes them
//! from the gateway downwards.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result};
use host_actors::{Actors, Ticket};
use host_cli::Failure;
use host_control::{Control, ControlServer};
use host_gateway::{Cors, Gateway, Hub, Tls, Webhooks};
use host_journal::{Done, Journal, OpenError};
use host_loader::Loader;
use host_model::Version;
use host_model::limits::{CONTAIN_TIMEOUT, STOP_TIMEOUT};
use host_upgrade::{Assembler, Book, Booked, Retention, Upgrade, Upgrader, recover};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::boots::{Attempt, Why};
use crate::config::tuning::{Dials, SetLogFilter, Tuner, Tuning};
use crate::config::{Config, Store};
use crate::exit;
use crate::heap::Heap;
use crate::home::Home;
use crate::launcher::Found;
use crate::logfile::LogFile;
use crate::notify;
use crate::unasked::{self, Unasked};

mod acts;
mod clients;
mod cold;
mod end;
mod hooks;
mod kept;
mod last_words;
mod logging;
mod plugins;
mod readiness;
mod reload;
mod runtimes;
mod told;

use readiness::Ready;
use reload::{HangUp, Reloader};
use runtimes::{Handlers, Runtimes};

/// What a host is that runs: its layers, the lowest first.
struct Layers {
    journal: Arc<Journal<Ticket>>,
    actors: Arc<Actors>,
    upgrader: Arc<Upgrader>,
    gateway: Arc<Gateway>,
    ready: Arc<Ready>,
    stop: Arc<Notify>,
    restart: Arc<AtomicBool>,
    reloader: Arc<Reloader>,
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

/// What a start is to boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boot<'a> {
    pub(crate) found: &'a Found,
    pub(crate) release: &'a Version,
    pub(crate) why: &'a Why,
}

/// How opening the layers ended.
enum Opening {
    /// The host serves.
    Ready(Box<Layers>),
    /// It is to end with this exit code, and has not served.
    Ended(u8),
}

/// Serves until it is stopped; calls `ready` when clients may come. Returns the
/// exit code: 0 stopped in order, 5 an operator must look, or one of [`exit`].
///
/// # Errors
///
/// What kept it from starting.
pub(crate) fn serve(
    boot: &Boot<'_>,
    attempt: Attempt,
    config: Config,
    take_over: bool,
    ready: impl FnOnce(),
) -> Result<u8> {
    let log = LogFile::new(&boot.found.home.log(), config.log_bounds);
    let log = log.context("write to standard output")?;
    let set_log_filter = logging::log(&config, log.clone());
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let Runtimes {
        control,
        data,
        sweepers,
    } = Runtimes::start(&config.runtime)?;
    let unasked = Unasked::aborts()?;
    let code = control.block_on(async {
        let outside = Outside::listen(attempt)?;
        // From here on it ends nothing, and is answered once the host serves.
        let hang_up = HangUp::listen().context("listen for SIGHUP")?;
        let on = Handlers {
            data: data.handle(),
            sweepers: sweepers.handle(),
        };
        logging::reopen_at_sigusr1(log.clone()).context("listen for SIGUSR1")?;
        let logging = (set_log_filter, log);
        let opened = open(boot, &outside, &config, take_over, on, logging).await;
        // One that has come up is not counted any more.
        outside.attempt.end();
        let layers = match opened? {
            Opening::Ready(layers) => *layers,
            Opening::Ended(code) => return Ok(code),
        };
        boot.found.home.came_up(boot.release)?;
        // In this order: who sees that it is ready may kill it at once, and its keeper must
        // know that it had come up.
        ready();
        layers.ready.started();
        let reloads = tokio::spawn(reload::at_sighup(
            hang_up,
            Arc::clone(&layers.reloader),
            Arc::clone(&layers.actors),
            Arc::clone(&layers.stop),
        ));
        let watch = tokio::spawn({
            let actors = Arc::clone(&layers.actors);
            let (gateway, upgrader) = (Arc::clone(&layers.gateway), Arc::clone(&layers.upgrader));
            told::tell(gateway, upgrader, move || actors.release().version.clone())
        });
        let code = end::until_told(&layers, &config).await?;
        notify::stopping();
        if let Some(signal) = outside.signal.get()
            && !outside.recorded.load(Ordering::SeqCst)
        {
            acts::record_stop(&layers.actors, signal).await;
        }
        watch.abort();
        reloads.abort();
        let patience = match layers.restart.load(Ordering::SeqCst) {
            true => CONTAIN_TIMEOUT,
            false => STOP_TIMEOUT,
        };
        end::close(layers, patience).await;
        Ok(code)
    });
    // A thread that is stuck in a plugin is not waited for.
    data.shutdown_background();
    sweepers.shutdown_background();
    control.shutdown_background();
    drop(unasked);
    code
}

/// What tells the host to end: a signal, or an operator by the control socket.
struct Outside {
    stop: Arc<Notify>,
    /// Whether somebody looks at `stop`.
    is_heard: Arc<AtomicBool>,
    /// The signal that came, by its name.
    signal: Arc<OnceLock<&'static str>>,
    /// Whether the audit trail has already who wants this process to end.
    recorded: Arc<AtomicBool>,
    attempt: Arc<Attempt>,
}

impl Outside {
    /// Hears signals from now on. Until `stop` is looked at, one ends the process at once:
    /// nothing is served yet, and whatever a start does may break off anywhere. Process 1
    /// of a container would not be ended by it otherwise.
    fn listen(attempt: Attempt) -> Result<Self> {
        let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let outside = Self {
            stop: Arc::default(),
            is_heard: Arc::default(),
            signal: Arc::default(),
            recorded: Arc::default(),
            attempt: Arc::new(attempt),
        };
        let (stop, is_heard) = (Arc::clone(&outside.stop), Arc::clone(&outside.is_heard));
        let (came, attempt) = (Arc::clone(&outside.signal), Arc::clone(&outside.attempt));
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = term.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    else => return,
                };
                if !is_heard.load(Ordering::SeqCst) {
                    tracing::info!("the host ends before it is ready, as it was told");
                    attempt.end();
                    unasked::asked();
                    std::process::exit(0);
                }
                let _first = came.set(name);
                stop.notify_one();
            }
        });
        Ok(outside)
    }
}

/// Opens the layers, the lowest first. Operators are answered before clients are: a
/// release that comes over to another may take its time.
async fn open(
    boot: &Boot<'_>,
    outside: &Outside,
    config: &Config,
    take_over: bool,
    Handlers { data, sweepers }: Handlers<'_>,
    (set_log_filter, log_file): (SetLogFilter, LogFile),
) -> Result<Opening> {
    let home = &boot.found.home;
    cold::check(boot, config)?;
    let (hand_back, done) = host_actors::channel();
    let journal = Arc::new(journal(home, config, take_over, hand_back)?);
    let booked = Booked::read(&journal)?;
    let recovery = recover(&booked, boot.release)?;
    let is_cold = recovery.boot != *boot.release;
    if is_cold && !cold::leads_from(boot.why, &recovery.boot) {
        // The commit came so far; the file that the launcher reads did not.
        home.set_permanent(&recovery.boot)?;
        journal.close();
        return Ok(Opening::Ended(exit::AGAIN));
    }
    let heap = Arc::new(Heap::new(config.runtime.memory_bytes));
    let cors = Arc::new(Cors::new(config.cors.clone()));
    let (retention, retention_days) = watch::channel(config.retention_days);
    let guard = clients::guard(config).context("read the keys that tokens are verified by")?;
    let tuner = Arc::new(Tuner::new(
        boot.release.clone(),
        boot.found,
        config,
        Dials {
            log: set_log_filter,
            heap: Arc::clone(&heap),
            retention,
            cors: Arc::clone(&cors),
            addresses: Arc::clone(&guard.addresses),
        },
    )?);
    let inspector = crate::inspect::inspector().context("find this program")?;
    let loader = Arc::new(Loader::new(&home.images(), inspector)?);
    let releases = home.releases().trusting(config.trusted_keys.clone());
    let assembler = Assembler::new(Arc::clone(&loader), releases.clone(), booked.clone());
    let assembler = Arc::new(assembler.configuring(hooks::plugins(&tuner)));
    let attempt = &outside.attempt;
    attempt.blame(true);
    let rules = assembler.releases().read(&recovery.boot)?;
    let assembled = plugins::assemble(&assembler, rules, is_cold, data).await;
    let release = assembled.inspect_err(|error| attempt.blame(is_to_blame(error)))?;
    let release = recovery.going_back(release);
    let first = booked.permanent.is_none();

    let hub = Hub::new();
    let actors = Actors::open(host_actors::Parts {
        journal: Arc::clone(&journal),
        done,
        audience: Arc::clone(&hub) as _,
        courier: Arc::new(Webhooks::new(config.ssl_cert_file.as_deref())?),
        release,
        limits: Tuning::of(config).limits(),
        memory: heap,
        data: data.clone(),
        sweepers: sweepers.clone(),
    })?;
    attempt.blame(false);
    tuner.set_actors(&actors);
    let mut unserved = CloseUnlessServed(Some(Arc::clone(&actors)));
    let recovered = recovery.upgrade.as_ref();
    let is_going_back = recovered.is_some_and(Upgrade::goes_back);
    if first {
        let manifest = assembler.releases().read(&recovery.boot)?.manifest;
        assembler.know(&manifest);
        let book = Book::new().permanent(&recovery.boot, None);
        book.digests(&manifest).write(&actors).await?;
    }
    acts::record_start(&actors, boot, &recovery.boot, take_over).await?;
    // Where the store was used by another home, the file knows nothing of it.
    home.set_permanent(&recovery.boot)?;
    let booked = Booked::read(&journal)?;
    let mut recovered = recovery.upgrade;
    let going_back = recovered.as_mut().filter(|upgrade| upgrade.goes_back());
    last_words::hear(home, &actors, going_back).await?;
    // Whom a timer that is overdue wakes may go back at once: from here on it is named.
    actors.begin();
    let restart = Arc::new(AtomicBool::new(false));
    let upgrader = Upgrader::start(host_upgrade::Parts {
        actors: Arc::clone(&actors),
        assembler,
        machine: hooks::machine(home, config),
        rehearser: crate::inspect::rehearser(home).context("find this program")?,
        last_words: home.last_words(),
        booked,
        recovered,
        control: Handle::current(),
        hooks: hooks::hooks(home, config, &tuner, &restart),
    });
    let ready = Arc::new(Ready::new(Arc::clone(&actors), Arc::clone(&upgrader)));
    let tls = config.tls.clone().map(Tls::open).transpose();
    let tls = tls.context("read the certificate for clients")?;
    let reloader = Arc::new(Reloader {
        actors: Arc::clone(&actors),
        tls: tls.clone(),
        tokens: guard.tokens.clone(),
        tuner: Arc::clone(&tuner),
        releases,
        ready: Arc::clone(&ready),
        upgrader: Arc::clone(&upgrader),
        log: log_file,
        turn: Mutex::default(),
    });
    // On the data runtime: it waits for the disk. It ends with that.
    let retention = Retention {
        upgrader: Arc::clone(&upgrader),
        key: home.anchor_key(),
        days: retention_days,
    };
    data.spawn(retention.run());
    let stop = Arc::clone(&outside.stop);
    let gateway_there = Arc::new(OnceLock::<Arc<Gateway>>::new());
    let control = Arc::new(Control {
        actors: Arc::clone(&actors),
        upgrader: Arc::clone(&upgrader),
        loader,
        data: data.clone(),
        gateway: {
            let gateway = Arc::clone(&gateway_there);
            let port = config.port;
            Box::new(move || match gateway.get() {
                Some(gateway) => clients::status(gateway),
                None => clients::no_status(port),
            })
        },
        readiness: {
            let ready = Arc::clone(&ready);
            Box::new(move || ready.for_operators())
        },
        store: store_name(home, &config.store),
        anchor_key: home.anchor_key(),
        started: Instant::now(),
        stop: Arc::clone(&stop),
        may_restart: {
            let found = boot.found.clone();
            Box::new(move || kept::may_restart(&found))
        },
        restart: {
            let (home, recorded) = (home.clone(), Arc::clone(&outside.recorded));
            Box::new(move || {
                recorded.store(true, Ordering::SeqCst);
                kept::restart(&home).inspect_err(|_| recorded.store(false, Ordering::SeqCst))
            })
        },
        reload: {
            let reloader = Arc::clone(&reloader);
            Box::new(move || reloader.reload())
        },
    });
    serve_admin(config.admin_port, Arc::clone(&control)).await?;
    let server = ControlServer::listen(&home.socket(), control)?;
    outside.is_heard.store(true, Ordering::SeqCst);
    let ends = end::before_serving(&stop, &restart, &journal);
    if let Some(code) = cold::settle(boot, &recovery.boot, &upgrader, ends).await? {
        return Ok(Opening::Ended(code));
    }
    let gateway = Gateway::start(
        host_gateway::Config {
            addresses: config.listen.clone(),
            port: config.port,
            tls,
            cors,
            guard,
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
    let _first = gateway_there.set(Arc::clone(&gateway));
    let (port, addresses) = (gateway.port(), gateway.addresses());
    let tls = gateway.tls().map(|tls| tls.identity().shown());
    tracing::info!(release = %boot.release, port, ?addresses, tls, "the host is ready");
    let forgotten = tuner.is_ready(is_going_back);
    forgotten.map_err(anyhow::Error::msg)?;
    unserved.0 = None;
    Ok(Opening::Ready(Box::new(Layers {
        journal,
        actors,
        upgrader,
        gateway,
        ready,
        stop,
        restart,
        reloader,
        _control: server,
    })))
}

/// Whether the release whose plugins could not be opened is to blame for it.
fn is_to_blame(error: &anyhow::Error) -> bool {
    let stuck = error.downcast_ref::<plugins::Stuck>();
    stuck.is_none_or(|stuck| stuck.is_own) && !is_no_room(error.as_ref())
}

/// Whether it failed for want of room on the disk, which is no release's doing.
fn is_no_room(error: &(dyn std::error::Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    ) || error.source().is_some_and(is_no_room)
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
