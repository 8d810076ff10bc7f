//! The port: accepting connections, and ending them in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use host_actors::Actors;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Shared;
use crate::cors::Cors;
use crate::counters::{Counters, count};
use crate::guard::{Guard, Place};
use crate::health::{Pulse, Readiness};
use crate::hub::Hub;
use crate::limits::{ACCEPT_PAUSE, FILES_RESERVED, HEALTH_CONNECTIONS_MAX, UNREAD_TIMEOUT_MS};
use crate::listen::{self, ListenError};
use crate::longpoll::Sessions;
use crate::openapi::Documents;
use crate::tls::{Handshakes, Spoken, Tls};
use crate::{http, routes};

/// How long connections that were killed may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// What goes to a connection for which there is no room at all.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// What goes to a connection from an address that has too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// Where to listen, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Addresses and their ports; all addresses of IPv6 and IPv4 on `port` if none is given.
    pub addresses: Vec<SocketAddr>,
    /// The port; 0 for any free one.
    pub port: u16,
    /// The certificate; without one the port does not speak TLS.
    pub tls: Option<Arc<Tls>>,
    /// Which pages of other origins may read the API's answers.
    pub cors: Arc<Cors>,
    /// Who is let in.
    pub guard: Guard,
}

/// The open port and everyone connected to it.
///
/// Requests are read on the control runtime, which no plugin can hold up. A
/// WebSocket moves to the data runtime once it is open, and so does each call.
#[derive(Debug)]
pub struct Gateway {
    addresses: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    app: Arc<App>,
}

/// What is still there when a [`Gateway::stop`] has used up its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// WebSocket connections.
    pub connections: usize,
    /// Connections and calls that have not ended, WebSockets included.
    pub tasks: usize,
}

/// What every request can reach.
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) actors: Arc<Actors>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) data: Handle,
    pub(crate) pulse: Pulse,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) documents: Documents,
    pub(crate) stop: CancellationToken,
    /// The accept loop and the connections that are not yet WebSockets.
    pub(crate) http: TaskTracker,
    /// Those who poll.
    pub(crate) polls: Arc<Sessions>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("connections", &self.shared.registry.len())
            .finish_non_exhaustive()
    }
}

/// A connection's share of the limits, kept as long as its socket.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    _permit: Arc<OwnedSemaphorePermit>,
    /// Who has connected: the client, or a proxy.
    pub(crate) peer: IpAddr,
    /// Its place among those of its address, where these are counted.
    pub(crate) place: Option<Place>,
}

impl Admitted {
    pub(crate) fn new(permit: OwnedSemaphorePermit, peer: IpAddr, place: Option<Place>) -> Self {
        Self {
            _permit: Arc::new(permit),
            peer,
            place,
        }
    }
}

/// How many connections are taken, and what they may ask for.
struct Doors {
    full: Door,
    health_only: Door,
    /// None, where the port does not speak TLS.
    handshakes: Option<Arc<Handshakes>>,
}

struct Door {
    room: Arc<Semaphore>,
    router: Router,
}

impl Gateway {
    /// Opens the port and serves it. `hub` is the audience of `actors`.
    ///
    /// # Errors
    ///
    /// [`ListenError`] if the port cannot be opened.
    pub fn start(
        config: Config,
        control: &Handle,
        data: Handle,
        actors: Arc<Actors>,
        hub: Arc<Hub>,
        readiness: Arc<Readiness>,
    ) -> Result<Self, ListenError> {
        let shared = Arc::new(Shared {
            guard: config.guard.clone(),
            ..Shared::default()
        });
        let app = App {
            polls: Arc::new(Sessions::new(Arc::clone(&shared))),
            shared,
            actors,
            hub,
            pulse: Pulse::new(data.clone()),
            data,
            readiness,
            documents: Documents::default(),
            stop: CancellationToken::new(),
            http: TaskTracker::new(),
        };
        Self::serve(config, control, Arc::new(app), connections_max())
    }

    fn serve(
        config: Config,
        control: &Handle,
        app: Arc<App>,
        connections_max: usize,
    ) -> Result<Self, ListenError> {
        let sockets = listen::listen(&config.addresses, config.port)?;
        let listeners = {
            let _control = control.enter();
            let registered = sockets.into_iter().map(listen::register);
            registered.collect::<Result<Vec<_>, _>>()?
        };
        app.hub.attach(&app);
        let polls = Arc::clone(&app.polls).look_after(app.stop.clone());
        app.http.spawn_on(polls, control);
        let tls = config.tls;
        let handshakes = tls.as_ref().map(|tls| {
            let stop = app.stop.clone();
            app.http.spawn_on(Arc::clone(tls).follow(stop), control);
            Arc::new(Handshakes::new(Arc::clone(tls), connections_max))
        });
        let doors = Arc::new(Doors {
            full: Door::new(connections_max, routes::all(&app, &config.cors)),
            health_only: Door::new(HEALTH_CONNECTIONS_MAX, routes::health_only(&app)),
            handshakes,
        });
        let mut addresses = Vec::new();
        for (address, listener) in listeners {
            let accept = accept(listener, Arc::clone(&doors), Arc::clone(&app));
            app.http.spawn_on(accept, control);
            addresses.push(address);
        }
        Ok(Self {
            addresses,
            tls,
            app,
        })
    }

    /// Whether the data runtime takes up work; false after a second without. Asked on the
    /// control runtime, the answer says that both do.
    pub async fn beats(&self) -> bool {
        self.app.pulse.beats().await
    }

    /// The port that is open; the first one, where there are several.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addresses[0].port()
    }

    /// The addresses that are open, with their ports; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificate, where the port speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// WebSocket connections and sessions of long polls there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.app.shared.registry.len()
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.app.shared.counters
    }

    /// Closes the port, lets requests and calls under way end, and closes each
    /// WebSocket with 1012 when its calls are answered, so that its client comes
    /// back. What has not ended after `timeout` is cut off. To be awaited on the
    /// control runtime, before the actors stop.
    pub async fn stop(&self, timeout: Duration) -> Option<Left> {
        let (http, tasks) = (&self.app.http, &self.app.shared.tasks);
        self.app.stop.cancel();
        self.app.shared.registry.stop();
        http.close();
        tasks.close();
        let ended = async {
            // First those that can still bring new ones.
            http.wait().await;
            tasks.wait().await;
        };
        if tokio::time::timeout(timeout, ended).await.is_ok() {
            return None;
        }
        let left = Left {
            connections: self.connections(),
            tasks: http.len() + tasks.len(),
        };
        self.app.shared.registry.kill();
        // A task that no thread can run, because a handler is stuck, stays.
        let _ = tokio::time::timeout(KILL_TIMEOUT, tasks.wait()).await;
        Some(left)
    }
}

impl Doors {
    /// Lets a connection in where there is room.
    fn admit(&self, peer: IpAddr, place: Option<Place>) -> Option<(Router, Admitted)> {
        let doors = [&self.full, &self.health_only];
        let (door, permit) = doors.iter().find_map(|door| Some((door, door.permit()?)))?;
        Some((door.router.clone(), Admitted::new(permit, peer, place)))
    }
}

impl Door {
    fn new(room: usize, router: Router) -> Self {
        Self {
            room: Arc::new(Semaphore::new(room)),
            router,
        }
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }
}

async fn accept(listener: TcpListener, doors: Arc<Doors>, app: Arc<App>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let refuse = |answer| {
            if doors.handshakes.is_none() {
                // As much as its empty buffer takes, which is all.
                let _ = stream.try_write(answer);
            }
        };
        let Ok(place) = app.shared.guard.accept(peer) else {
            count(&app.shared.counters.limited_connections);
            refuse(TOO_MANY);
            continue;
        };
        let Some((router, admitted)) = doors.admit(peer, place) else {
            count(&app.shared.counters.refused);
            refuse(NO_ROOM);
            continue;
        };
        // Replies are small and someone waits for each.
        let _ = stream.set_nodelay(true);
        // Whoever takes no byte of an answer for so long is cut off by the system.
        let _ = set_tcp_user_timeout(&stream, UNREAD_TIMEOUT_MS);
        let handshakes = doors.handshakes.clone();
        app.http.spawn(serve(
            stream,
            handshakes,
            router,
            admitted,
            Arc::clone(&app),
        ));
    }
}

/// Serves one connection, until it ends or becomes a WebSocket.
async fn serve(
    stream: TcpStream,
    handshakes: Option<Arc<Handshakes>>,
    router: Router,
    admitted: Admitted,
    app: Arc<App>,
) {
    let Some(handshakes) = handshakes else {
        let Some(is_h2) = http::begins_as_h2(&stream, &app).await else {
            return;
        };
        return http::serve(stream, is_h2, router, admitted, &app).await;
    };
    let opened = tokio::select! {
        opened = handshakes.open(stream, &app.shared.counters) => opened,
        () = app.stop.cancelled() => return,
    };
    drop(handshakes);
    if let Some(Spoken { stream, is_h2 }) = opened {
        http::serve(stream, is_h2, router, admitted, &app).await;
    }
}

/// Connections that are taken at once: as many as there are files for, with some left for
/// the host itself.
#[must_use]
pub fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    files
        .saturating_sub(FILES_RESERVED + HEALTH_CONNECTIONS_MAX)
        .clamp(files / 4, Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests;
