//! How the log looks, and how large it may grow.

use std::ops::RangeInclusive;

use super::Reader;

/// Bytes of a log file: from less than a start may say, to more than a disk has.
const LOG_BYTES: RangeInclusive<u64> = 4 << 10..=1 << 40;

/// Older files beside it.
const LOG_FILES: RangeInclusive<usize> = 0..=1_000;

/// `LOG_FORMAT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Bounds of the log of a host in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogBounds {
    /// Bytes after which a new file is begun.
    pub(crate) bytes_max: u64,
    /// Older files that are kept; 0: no new file is ever begun.
    pub(crate) files: usize,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            files: 5,
        }
    }
}

impl Reader<'_> {
    pub(super) fn log_bounds(&mut self) -> LogBounds {
        let default = LogBounds::default();
        let bytes_max = self.number("LOG_MAX_BYTES", "bytes", LOG_BYTES);
        let files = self.number("LOG_FILES", "files", LOG_FILES);
        LogBounds {
            bytes_max: bytes_max.unwrap_or(default.bytes_max),
            files: files.unwrap_or(default.files),
        }
    }
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "pretty" => Some(LogFormat::Pretty),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}
