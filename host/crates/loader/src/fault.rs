//! What a plugin did wrong.

use std::fmt;

use host_model::Version;
use serde::{Deserialize, Serialize};

/// A plugin broke while it was called. The plugin is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: Version,
    /// Which function of its table was called.
    pub function: String,
    /// The kind of fault.
    pub kind: FaultKind,
    /// What it said.
    pub message: String,
    /// Source file, if known.
    pub file: String,
    /// Line in `file`, or 0.
    pub line: u32,
}

/// See [`Fault::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It panicked.
    Panic,
    /// It could not read or write its bytes.
    Codec,
    /// Its author's code says that it cannot.
    Error,
    /// It did not keep to the ABI: a part is missing, or is not what it should be.
    Protocol,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            FaultKind::Panic => "panicked",
            FaultKind::Codec => "could not read or write bytes",
            FaultKind::Error => "failed",
            FaultKind::Protocol => "broke the protocol",
        };
        write!(
            f,
            "{} {} {verb} in {}: {}",
            self.plugin, self.version, self.function, self.message
        )?;
        if !self.file.is_empty() {
            write!(f, " ({}:{})", self.file, self.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
