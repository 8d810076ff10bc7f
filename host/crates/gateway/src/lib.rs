//! The clients' side of the host: WebSockets that speak Phoenix Channels V2, and HTTP.
//!
//! [`Gateway`] owns the port. Requests are read on the control runtime; an open
//! WebSocket is one task on the data runtime, and so is each call of the API.
//! [`Hub`] tells the joined clients what the actors have to tell, and [`Webhooks`]
//! takes what leaves the house to its receivers.
//!
//! # Invariants
//!
//! - **Nothing is done for a client before [`Guard`] has let it in,** and what it may do, its
//!   plugin decides by what a key vouches for. No header is believed but of a trusted proxy.
//! - **Nothing a client does costs more than its bounds:** what it may join, ask
//!   at once, leave unread, and how long it may take to do any of it.
//! - **Heartbeats and health never wait for an actor.** The first are answered by
//!   the connection's own task, on which no handler runs; the second on the
//!   control runtime.
//! - **Calls of one connection to one topic reach the actor in their order**;
//!   those to different topics overlap.
//! - **A connection's state changes in one place that does not await**, behind a
//!   gate: all connections can be stopped between two turns.
//! - A close code is never 1000: some clients would not come back.
//!
//! This crate must not know plugins beyond their manifest, the journal, or upgrades.

mod answer;
mod api;
mod arguments;
mod client;
mod coding;
mod connection;
mod cors;
mod counters;
mod echo;
mod guard;
mod health;
mod http;
mod hub;
mod lane;
pub mod limits;
mod listen;
mod longpoll;
mod offered;
mod openapi;
mod outbound;
mod phoenix;
mod presence;
mod problem;
mod registry;
mod request_id;
mod routes;
mod server;
mod session;
mod socket;
mod tls;
mod tokens;
mod transport;
mod webhooks;
pub mod ws;

pub use cors::{Cors, CorsOrigins, CorsRules};
pub use counters::Counters;
pub use echo::echo;
pub use guard::{
    Addresses, ClientLimits, Guard, OriginError, OriginPattern, Origins, Proxies, ProxyHeader,
    Rates, is_host,
};
pub use health::Readiness;
pub use hub::Hub;
pub use listen::{ListenError, has_address};
pub use server::{Config, Gateway, Left, connections_max};
pub use tls::{Identity, Renewal, Replaced, Tls, TlsError, TlsFile, TlsFiles};
pub use tokens::{Grant, KeyRing, KeysError, SigningKey, TokenSource, Tokens, is_subject};
pub use webhooks::{AuthoritiesError, Webhooks};
