//! What the control groups around this process leave to it. cgroups(7), second version.

use std::fs;
use std::path::Path;

/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// The bounds of all groups around a process: the least of each counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of memory (`memory.max`).
    pub(crate) memory_bytes: Option<u64>,
    /// Whether processor time is limited (`cpu.max`).
    pub(crate) has_cpu: bool,
}

impl Bounds {
    /// Those of this process; none where nothing is known of its groups.
    pub(crate) fn own() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup");
        own.map_or_else(|_| Self::default(), |own| Self::of(Path::new(GROUPS), &own))
    }

    /// Those of the group that `own`, the text of a `/proc/PID/cgroup`, names.
    fn of(groups: &Path, own: &str) -> Self {
        let Some(name) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
            return Self::default();
        };
        let folder = groups.join(name);
        let around = || folder.ancestors().take_while(|it| it.starts_with(groups));
        // The first word is the limit; `max` is none.
        let limit = |dir: &Path, file: &str| {
            let text = fs::read_to_string(dir.join(file)).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            memory_bytes: around().filter_map(|dir| limit(dir, "memory.max")).min(),
            has_cpu: around().any(|dir| limit(dir, "cpu.max").is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_bound_of_the_groups_around_counts() {
        let groups = tempfile::tempdir().unwrap();
        let own = groups.path().join("system.slice/giving.service");
        fs::create_dir_all(&own).unwrap();
        let text = "0::/system.slice/giving.service\n";
        let memory = || Bounds::of(groups.path(), text).memory_bytes;
        assert_eq!(Bounds::of(groups.path(), text), Bounds::default());
        fs::write(own.join("memory.max"), "max\n").unwrap();
        fs::write(own.join("cpu.max"), "max 100000\n").unwrap();
        assert_eq!(Bounds::of(groups.path(), text), Bounds::default());
        fs::write(groups.path().join("system.slice/memory.max"), "1000\n").unwrap();
        assert_eq!(memory(), Some(1_000));
        fs::write(own.join("memory.max"), "500\n").unwrap();
        assert_eq!(memory(), Some(500));
        fs::write(own.join("cpu.max"), "200000 100000\n").unwrap();
        assert!(Bounds::of(groups.path(), text).has_cpu);
        assert_eq!(
            Bounds::of(groups.path(), "1:memory:/old\n"),
            Bounds::default()
        );
    }
}
