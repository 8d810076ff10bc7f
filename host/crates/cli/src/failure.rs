//! Why a command did not do what it was asked: the message and the exit code.

use std::fmt;

use host_model::control::Problem;

/// Exit code: refused or failed, nothing changed.
pub const EXIT_REFUSED: u8 = 1;
/// Exit code: the command line makes no sense.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: no host runs.
pub const EXIT_NOT_RUNNING: u8 = 3;
/// Exit code: an operator must look.
pub const EXIT_LOOK: u8 = 5;
/// Exit code: interrupted from the keyboard, as shells count it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// A command's failure. Its message says what was attempted, what was found, and
/// what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Problem);

impl Failure {
    /// A failure with a `reason` for programs and a `message` for people.
    #[must_use]
    pub fn new(reason: &str, exit_code: u8, message: impl Into<String>) -> Self {
        Self(Problem {
            reason: reason.to_owned(),
            message: message.into(),
            exit_code,
        })
    }

    /// Refused or failed; nothing changed.
    #[must_use]
    pub fn refused(reason: &str, message: impl Into<String>) -> Self {
        Self::new(reason, EXIT_REFUSED, message)
    }

    /// Something that a person must look at.
    #[must_use]
    pub fn look(reason: &str, message: impl Into<String>) -> Self {
        Self::new(reason, EXIT_LOOK, message)
    }

    /// What is printed under `--json`.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    /// What the command ends with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    /// Whether it failed because no host runs.
    #[must_use]
    pub fn is_not_running(&self) -> bool {
        self.0.exit_code == EXIT_NOT_RUNNING
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        // A problem is never success, whatever its sender says.
        let exit_code = problem.exit_code.max(EXIT_REFUSED);
        Self(Problem {
            exit_code,
            ..problem
        })
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::refused("io", format!("write the answer: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_exit_code_but_never_reads_as_success() {
        for (said, ends) in [(0, 1), (1, 1), (4, 4), (5, 5)] {
            let problem = Failure::new("x", said, "y").problem().clone();
            assert_eq!(Failure::from(problem).exit_code(), ends);
        }
    }
}
