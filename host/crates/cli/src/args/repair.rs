//! What is done about actors that were set aside and messages that came to nothing.

use clap::Subcommand;
use host_model::ActorId;

/// `host quarantine ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Quarantine {
    /// List them.
    #[command(after_help = "Example:\n  host quarantine list")]
    List,
    /// Let one work again.
    #[command(after_help = "Example:\n  host quarantine release donations:ramadan-2026")]
    Release {
        /// The actor, `plugin:key`.
        actor: ActorId,
    },
    /// Print all that is kept of one as JSON: state, snapshot, records, timers, dead
    /// letters.
    #[command(
        after_help = "Example:\n  host quarantine export donations:ramadan-2026 > ramadan.json\n\nRecords are those since the last snapshot; `host audit export` has all."
    )]
    Export {
        /// The actor, `plugin:key`.
        actor: ActorId,
    },
}

/// `host dead-letters ...`
#[derive(Debug, Clone, Subcommand)]
pub enum DeadLetters {
    /// List them, the oldest first.
    #[command(after_help = "Example:\n  host dead-letters list --after 120")]
    List {
        /// Only those behind this number.
        #[arg(long, value_name = "N")]
        after: Option<u64>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// Deliver some again, as what they were; stops at the first that comes to nothing.
    #[command(
        after_help = "Example:\n  host dead-letters retry 12 13\n\nWhat comes of one and its end are one transaction; one that comes to nothing again stays."
    )]
    Retry {
        /// Their numbers.
        #[arg(required = true, value_name = "N")]
        ids: Vec<u64>,
    },
    /// Remove some for good.
    #[command(after_help = "Example:\n  host dead-letters drop 12 13")]
    Drop {
        /// Their numbers.
        #[arg(required = true, value_name = "N")]
        ids: Vec<u64>,
    },
}

/// `host outbox ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Outbox {
    /// List those that wait, the oldest first.
    #[command(after_help = "Example:\n  host outbox list --after 1207/0")]
    List {
        /// Only those behind this one.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// Try some at once, without waiting for their time.
    #[command(
        after_help = "Example:\n  host outbox retry 1207/0\n\nOne that was given up is a dead letter: `host dead-letters retry`."
    )]
    Retry {
        /// Their ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}
