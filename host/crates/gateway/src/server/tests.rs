//! A gateway over loopback, with actors that have no plugin.

mod addresses;
mod http;
mod http2;
mod longpoll;
mod socket;
mod tls;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use host_actors::{Limits, Parts, Release};
use host_journal::{Journal, Options};
use host_model::Version;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::*;

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn on_loopback() -> Config {
    Config {
        addresses: vec![(Ipv4Addr::LOCALHOST, 0).into()],
        ..Config::default()
    }
}

struct Host {
    app: Arc<App>,
    gateway: Gateway,
    control: Runtime,
    data: Runtime,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start() -> Self {
        Self::with(connections_max(), Vec::new())
    }

    fn with(connections_max: usize, not_ready: Vec<String>) -> Self {
        Self::listening(on_loopback(), connections_max, not_ready)
    }

    fn listening(config: Config, connections_max: usize, not_ready: Vec<String>) -> Self {
        let runtime = || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1).enable_all().build().unwrap()
        };
        let (control, data) = (runtime(), runtime());
        let folder = tempfile::tempdir().unwrap();
        let (sender, done) = mpsc::unbounded_channel();
        let path = folder.path().join("host.db");
        let journal = Journal::open(Options { path }, move |entries| {
            // Fails when the actors are gone, as at a test's end.
            let _ = sender.send(entries);
        });
        let hub = Hub::new();
        let actors = Actors::start(Parts {
            journal: Arc::new(journal.unwrap()),
            done,
            audience: Arc::clone(&hub) as _,
            courier: Arc::new(host_actors::NoCourier),
            release: Release {
                version: Version::new(0, 1, 0),
                plugins: Default::default(),
                before: Default::default(),
                installed: Vec::new(),
            },
            memory: Arc::new(host_actors::Boundless),
            limits: Limits::default(),
            sweepers: data.handle().clone(),
            data: data.handle().clone(),
        });
        let shared = Arc::<Shared>::default();
        let app = App {
            polls: Arc::new(Sessions::new(Arc::clone(&shared))),
            shared,
            actors: actors.unwrap(),
            hub,
            pulse: Pulse::new(data.handle().clone()),
            data: data.handle().clone(),
            readiness: Arc::new(move || not_ready.clone()),
            documents: Documents::default(),
            stop: CancellationToken::new(),
            http: TaskTracker::new(),
        };
        let app = Arc::new(app);
        let gateway = Gateway::serve(config, control.handle(), Arc::clone(&app), connections_max);
        Self {
            app,
            gateway: gateway.unwrap(),
            control,
            data,
            _folder: folder,
        }
    }

    fn connect(&self) -> TcpStream {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.gateway.port()));
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request and gives the whole answer. The connection is closed after it.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let head = head.replace('\n', "\r\n");
        let request = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        read_to_end(&mut stream)
    }

    fn stop(&self) -> Option<Left> {
        self.control.block_on(self.gateway.stop(PATIENCE))
    }
}

/// What comes until the other side ends, in order or not.
fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
