//! Commands that keep what was entrusted: the audit trail and the store.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use host_model::ActorId;
use host_model::keep::{ExportFormat, ExportQuery};

use crate::instant::unix_ms;

/// `host audit ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Audit {
    /// Prove that nothing in the journal has changed since it was written.
    #[command(
        after_help = "Example:\n  host audit verify\n\nIt ends with 5 and names the first group that does not hold, if one does not. Write the\nhash down elsewhere: it shows later that nothing before it has changed since."
    )]
    Verify,
    /// Write all events to standard output, one a line.
    #[command(
        after_help = "Example:\n  host audit export --actor donations:ramadan-2026 --since 2026-02-18 --format csv > ramadan.csv"
    )]
    Export(Export),
}

/// `host audit export`
#[derive(Debug, Clone, Args)]
pub struct Export {
    /// Only what happened to this actor; operators' actions are host:operator's.
    #[arg(long, value_name = "ACTOR")]
    pub actor: Option<ActorId>,
    /// Only what happened at or after this: 2026-02-18, or 2026-02-18T09:30:00Z.
    #[arg(long, value_name = "T", value_parser = unix_ms)]
    pub since: Option<i64>,
    /// In which form: a document a line, or a table for a spreadsheet.
    #[arg(long, default_value = "json", value_name = "FORMAT")]
    pub format: Format,
}

/// See [`Export::format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON document a line.
    Json,
    /// Comma-separated values, with a line of headings.
    Csv,
}

impl From<Export> for ExportQuery {
    fn from(export: Export) -> Self {
        Self {
            actor: export.actor,
            since_ms: export.since,
            format: match export.format {
                Format::Json => ExportFormat::Json,
                Format::Csv => ExportFormat::Csv,
            },
        }
    }
}

/// `host store ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Store {
    /// Copy the store to a new file while everything runs.
    #[command(
        after_help = "Example:\n  host store backup /var/backups/host-2026-02-18.db\n\nKeep the releases beside it: the file names the libraries that it needs. The key\ndata/anchor.key is not in it. Of a store in PostgreSQL it is the same kind of file."
    )]
    Backup {
        /// The file; must not exist.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a backup into a home without a store, while no host runs.
    #[command(
        after_help = "Example:\n  host store restore /var/backups/host-2026-02-18.db\n\nThe store is where DATABASE_URL says. To move one to PostgreSQL, or back, set it between\nbackup and restore."
    )]
    Restore {
        /// A file of `host store backup`.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Look at everything in the store, and name what is damaged. Changes nothing.
    #[command(
        after_help = "Example:\n  host store check\n\nIt ends with 5 if something is damaged."
    )]
    Check {
        /// Replay every actor, too, in several ways, and compare what it comes to.
        #[arg(long)]
        replay: bool,
    },
    /// Bring the store's tables up to date, while no host runs. A start does it, too.
    #[command(after_help = "Example:\n  host stop && host store migrate")]
    Migrate,
    /// Keep the journal from a position on, whatever RETENTION says.
    #[command(after_help = "Example:\n  host store pin audit-2026")]
    Pin {
        /// What the pin is known by.
        name: String,
        /// The first position that stays [default: the first there is].
        position: Option<u64>,
    },
    /// Take a pin away.
    #[command(after_help = "Example:\n  host store unpin audit-2026")]
    Unpin {
        /// What the pin is known by.
        name: String,
    },
    /// List the pins.
    #[command(after_help = "Example:\n  host store pins")]
    Pins,
}
