//! What drives a built host from the outside: homes, commands, clients, load.
//!
//! Everything here goes through what operators and clients have: the program
//! `bin/host` of a home, its WebSocket and its HTTP API. Of the host's own crates
//! it knows the model, for the shapes of answers.
//!
//! **Invariants.** A test has a home, ports and processes of its own; they end with
//! it. Nothing is ever waited for without a deadline. An acknowledged donation is
//! looked for in the state by its id, never only in a sum.

pub mod bare_echo;
pub mod channel;
pub mod command;
pub mod crash;
pub mod cycles;
pub mod disk;
pub mod faulty;
pub mod figures;
pub mod home;
pub mod http;
pub mod keys;
pub mod load;
pub mod matrix;
pub mod namespace;
pub mod package;
pub mod raw;
pub mod release;
pub mod signer;
pub mod talk;
pub mod tally;
pub mod terminal;
pub mod tls;
pub mod variable;
pub mod visits;
pub mod wait;
pub mod wire;

pub use channel::{Client, Reply};
pub use command::Ran;
pub use home::Home;
pub use load::Load;
pub use signer::Signer;
pub use talk::Talk;
pub use tally::Tally;
