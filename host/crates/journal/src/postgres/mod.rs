//! PostgreSQL as the store, for hosts whose disk may be lost with them.
//!
//! The same tables as in SQLite. One session writes: a group with records only is one
//! statement and one round trip, any other group one transaction and two. The statement
//! that appends checks the owner's epoch, so that an owner who was paused and replaced
//! writes nothing more. A lease, renewed by a session of its own, keeps a second host
//! out while the owner lives; fencing does not depend on it, nor on any clock.
//!
//! A session that breaks is replaced: [`reopen`](crate::store::Store::reopen) ends what
//! it had under way, raises the epoch, and reads where the store ends. Each new session,
//! of whatever purpose, first compares that with what the host was told before; a
//! server that has lost it (a standby that was promoted too early, a disk that was
//! restored) ends the host before it rebuilds anything. The journal's own room for this
//! memory is a small file, see [`crate::witness`].
//!
//! `tokio-postgres` runs on two threads of its own, so that the synchronous traits can
//! be used from any thread.

mod address;
mod answers;
mod archive;
mod beside;
mod connections;
mod copy;
mod effects;
mod inspect;
mod lease;
mod migrate;
mod open;
mod outbox;
mod owner;
mod pieces;
mod pool;
mod put_back;
mod reader;
mod schema;
mod session;
mod tasks;
mod tls;
mod truth;
mod write;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

pub use address::{Address, SslMode};
pub use archive::archive;
pub use connections::connections;
pub use migrate::migrate;
pub use open::open;
pub use put_back::{PutBackError, put_back, vacant};

/// Sessions that a store needs at least: one that writes, one for the lease, one that reads.
pub const POOL_SIZE_MIN: usize = 3;

/// Which database to open, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// Sessions at most, [`POOL_SIZE_MIN`] at least.
    pub pool_size: usize,
    /// The file in which this home keeps what it last knew of the store's end.
    pub witness: PathBuf,
    /// Fence an owner that lives, instead of being refused.
    pub take_over: bool,
    /// How long things may take.
    pub timing: Timing,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// An owner that has not renewed its lease for this long is taken for dead.
    pub lease: Duration,
    /// Between two renewals.
    pub renew_every: Duration,
    /// A commit that is not answered by then counts as of unknown outcome.
    pub answer: Duration,
    /// How long a read tries again while the server is away.
    pub read: Duration,
}

impl Default for Timing {
    /// A lease of ten seconds, renewed every two; answers within fifteen, above what a
    /// checkpoint of a busy server makes a commit wait.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(2),
            answer: Duration::from_secs(15),
            read: Duration::from_secs(5),
        }
    }
}
