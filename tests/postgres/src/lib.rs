//! A real PostgreSQL server for tests: made by `initdb`, in a folder of its own, on a
//! port of its own on loopback, gone when the tests are.
//!
//! A server does not run as root; there it runs as `postgres`, or as `nobody`. Its
//! parent is a shell that reads from a pipe: when this process has ended, however it
//! ended, the pipe is closed, and the shell ends its server and removes the folder.
//!
//! Without PostgreSQL's programs a test fails and says so; none is skipped.

mod programs;
mod proxy;
mod server;
mod tls;

pub use programs::is_installed;
pub use proxy::{Proxy, Trouble};
pub use server::{Server, shared};
pub use tls::Authority;
