//! Whether a process is dead for certain, as far as another one on the same machine can
//! tell: a store must not be taken from an owner that only cannot be seen from here.

use serde::{Deserialize, Serialize};

/// A process, and from where its number can be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Names one run of one machine, at random: <https://docs.kernel.org/admin-guide/sysctl/kernel.html#random>
    boot: String,
    /// Names the processes that see each other, as those of a container.
    space: String,
    pid: u32,
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let space = std::fs::read_link("/proc/self/ns/pid");
        Self {
            boot: boot.unwrap_or_default().trim().to_owned(),
            space: space.unwrap_or_default().to_string_lossy().into_owned(),
            pid: std::process::id(),
        }
    }

    /// It would be seen from here, and is not. Another machine, another run of this one
    /// or another container may have it all the same.
    pub(crate) fn is_dead(&self) -> bool {
        let here = Self::this();
        let is_seen = !self.boot.is_empty() && !self.space.is_empty();
        if !is_seen || self.boot != here.boot || self.space != here.space {
            return false;
        }
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            // The state stands behind the name, which is in brackets and may have any.
            Ok(stat) => stat
                .rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_would_be_seen_from_here_is_dead() {
        assert!(!Process::this().is_dead());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = Process {
            pid: child.id(),
            ..Process::this()
        };
        child.wait().unwrap();
        assert!(gone.is_dead());
        for elsewhere in [
            Process {
                boot: "another".to_owned(),
                ..gone.clone()
            },
            Process {
                space: "another".to_owned(),
                ..gone.clone()
            },
            Process {
                boot: String::new(),
                ..gone
            },
        ] {
            assert!(!elsewhere.is_dead(), "{elsewhere:?}");
        }
    }
}
