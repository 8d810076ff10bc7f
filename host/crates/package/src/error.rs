//! Why a package is not installed.

use std::io;
use std::path::PathBuf;

use host_model::Version;
use thiserror::Error;

/// A package that is not installed. Nothing of it is left. What is said has no control
/// characters of the package's.
#[derive(Debug, Error)]
pub enum InstallError {
    /// It cannot be opened.
    #[error("open the package {}", file.display())]
    Open {
        /// The package.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "{} is no package ({}); name a file that `host release build` has made",
        file.display(), plain(problem)
    )]
    NoPackage {
        /// The file.
        file: PathBuf,
        /// What it is.
        problem: String,
    },
    /// It was cut short, or some of its bytes are others.
    #[error("{} is damaged: {}; fetch it again", file.display(), plain(problem))]
    Damaged {
        /// The package.
        file: PathBuf,
        /// What was found.
        problem: String,
    },
    /// It holds what no package holds.
    #[error(
        "{} has the entry {entry:?}, which {problem}; it was not made by `host release build`: do not trust it",
        file.display()
    )]
    BadEntry {
        /// The package.
        file: PathBuf,
        /// Its name.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody vouches for it whom this home trusts.
    #[error("the package {} is not trusted: {}", file.display(), plain(problem))]
    Untrusted {
        /// The package.
        file: PathBuf,
        /// What was found.
        problem: String,
    },
    /// It does not fit this machine.
    #[error("release {version} does not fit here:{}", listed(problems))]
    Misfit {
        /// The release.
        version: Version,
        /// A sentence each.
        problems: Vec<String>,
    },
    /// It holds another release than its folder is for.
    #[error("{} holds release {found}, and lies where {wanted} belongs; move it to releases/{found}", file.display())]
    OtherVersion {
        /// The package.
        file: PathBuf,
        /// What it holds.
        found: Version,
        /// What was looked for.
        wanted: Version,
    },
    /// Something has its place.
    #[error("{} is there already{what}; {advice}", dir.display())]
    Taken {
        /// The release's folder.
        dir: PathBuf,
        /// What is there.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Which one is meant?
    #[error("{} has several packages; leave one there, or say `host install FILE`", .0.display())]
    Several(PathBuf),
    /// One at a time.
    #[error("another install is under way in {}; wait for it, and say it again", .0.display())]
    Busy(PathBuf),
    /// It cannot be written.
    #[error(
        "write {}: nothing of the package is left there; make room or mend what the system says, and install it again",
        path.display()
    )]
    Write {
        /// What was written.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
}

/// What is said with words of a package: they are nobody's yet, and go to a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn listed(problems: &[String]) -> String {
    let lines = problems.iter().map(|it| format!("\n  - {}", plain(it)));
    lines.collect()
}

impl InstallError {
    /// One snake-case word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Open { .. } => "no_file",
            Self::NoPackage { .. } | Self::BadEntry { .. } | Self::OtherVersion { .. } => {
                "bad_package"
            }
            Self::Damaged { .. } => "damaged_package",
            Self::Untrusted { .. } => "untrusted",
            Self::Misfit { .. } => "does_not_fit",
            Self::Taken { .. } => "installed_already",
            Self::Several(_) => "several_packages",
            Self::Busy(_) => "busy",
            Self::Write { .. } => "not_written",
        }
    }
}
