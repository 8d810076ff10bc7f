//! Whether there is room on the disks for what an upgrade writes.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Free bytes that are left alone on each disk: for the log, and for what commands
/// write meanwhile.
pub(super) const RESERVE_BYTES: u64 = 32 << 20;

/// Something that an upgrade writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// For people.
    pub(super) what: &'static str,
    /// The folder in which it is written.
    pub(super) dir: PathBuf,
    /// How much at most.
    pub(super) bytes: u64,
}

/// What a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    /// Which: equal for folders that share it.
    pub(super) device: u64,
    /// Bytes that this process may still write.
    pub(super) free_bytes: u64,
}

/// The file system that a folder lies on.
pub(super) fn disk(dir: &Path) -> io::Result<Disk> {
    let device = std::fs::metadata(dir)?.dev();
    let stat = rustix::fs::statvfs(dir)?;
    Ok(Disk {
        device,
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// What of `needs` has no room: what shares a disk is added up.
pub(super) fn problems(needs: &[Need], disk: impl Fn(&Path) -> io::Result<Disk>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut disks: BTreeMap<u64, (Disk, Vec<&Need>)> = BTreeMap::new();
    for need in needs {
        match disk(&need.dir) {
            Ok(found) => {
                let (_, of_disk) = disks
                    .entry(found.device)
                    .or_insert_with(|| (found, Vec::new()));
                of_disk.push(need);
            }
            Err(error) => problems.push(format!("{}: {error}", need.dir.display())),
        }
    }
    for (disk, needs) in disks.into_values() {
        let bytes: u64 = needs.iter().map(|need| need.bytes).sum();
        if bytes.saturating_add(RESERVE_BYTES) <= disk.free_bytes {
            continue;
        }
        let list: Vec<_> = needs
            .iter()
            .map(|need| {
                format!(
                    "{} MiB for {} in {}",
                    mib(need.bytes),
                    need.what,
                    need.dir.display()
                )
            })
            .collect();
        problems.push(format!(
            "the disk has {} MiB free, and it takes {}, and {} MiB that are left alone; make room",
            mib(disk.free_bytes),
            list.join(", "),
            mib(RESERVE_BYTES)
        ));
    }
    problems
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(what: &'static str, dir: &str, mib: u64) -> Need {
        Need {
            what,
            dir: dir.into(),
            bytes: mib << 20,
        }
    }

    #[test]
    fn what_shares_a_disk_is_added_up() {
        let needs = [need("plugins", "/a", 60), need("states", "/b", 60)];
        let one = |_: &Path| {
            Ok(Disk {
                device: 1,
                free_bytes: 100 << 20,
            })
        };
        let found = problems(&needs, one);
        assert_eq!(
            found,
            [
                "the disk has 100 MiB free, and it takes 60 MiB for plugins in /a, 60 MiB for states in /b, and 32 MiB that are left alone; make room"
            ]
        );
        let two = |dir: &Path| {
            Ok(Disk {
                device: if dir == Path::new("/a") { 1 } else { 2 },
                free_bytes: 100 << 20,
            })
        };
        assert_eq!(problems(&needs, two), [] as [&str; 0]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_problem() {
        let found = problems(&[need("plugins", "/nowhere", 1)], disk);
        assert!(found[0].starts_with("/nowhere: "), "{found:?}");
        let here = disk(Path::new("/")).unwrap();
        assert!(here.free_bytes > 0);
    }
}
