//! Commands that keep what was entrusted: the audit trail and the store.

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
