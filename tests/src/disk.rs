//! A disk that fails: the library of `tests/disk`, preloaded into the processes of a
//! home, and a real file system that is small.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::home::Home;
use crate::wait;

/// What is told to the library, and what it says.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
    /// What was struck by earlier rules.
    before: Cell<usize>,
}

impl Disk {
    /// Puts the library under a home that has not been started yet.
    ///
    /// # Errors
    ///
    /// That it is not built: `cargo build -p e2e-disk`.
    pub fn under(home: &mut Home) -> Result<Self> {
        let library = crate::release::built().join("libe2e_disk.so");
        ensure!(
            library.is_file(),
            "{} is not built: cargo build -p e2e-disk",
            library.display()
        );
        let disk = Self {
            folder: tempfile::tempdir()?,
            before: Cell::default(),
        };
        home.set("LD_PRELOAD", Some(&library.display().to_string()));
        home.set("DISK_FAULTS", Some(&disk.file("rules")));
        home.set("DISK_FAULTS_LOG", Some(&disk.file("log")));
        Ok(disk)
    }

    /// From now on these rules hold, and no others; they count from now.
    ///
    /// # Errors
    ///
    /// That they cannot be written.
    pub fn fails(&self, rules: &[&str]) -> Result<()> {
        // A new file in the old one's place: it is read whole, or not at all.
        let new = self.file("new");
        self.before.set(self.struck().len());
        fs::write(&new, rules.join("\n"))?;
        Ok(fs::rename(new, self.file("rules"))?)
    }

    /// From now on nothing fails.
    ///
    /// # Errors
    ///
    /// As [`Disk::fails`].
    pub fn works(&self) -> Result<()> {
        self.fails(&[])
    }

    /// What was struck so far: `PID CALL FILE WHAT`.
    #[must_use]
    pub fn struck(&self) -> Vec<String> {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Waits until something was struck in the process `pid` since the rules were
    /// given: so the library is loaded there, and was asked.
    ///
    /// # Errors
    ///
    /// That nothing was.
    pub fn has_struck(&self, pid: u32) -> Result<String> {
        let own = |line: &&String| line.split(' ').next() == Some(&pid.to_string());
        wait::until("the disk has failed", || {
            let struck = self.struck();
            struck[self.before.get()..].iter().find(own).cloned()
        })
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// A small file system, in memory. Gone with the namespace that it is mounted in: see
/// [`crate::namespace::within`].
#[derive(Debug)]
pub struct Small {
    folder: TempDir,
}

impl Small {
    /// Makes and mounts it.
    ///
    /// # Errors
    ///
    /// That this is not allowed.
    pub fn mount(mib: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]);
        let ended = mount.arg(folder.path()).status().context("run mount")?;
        ensure!(ended.success(), "a file system cannot be mounted: {ended}");
        Ok(Self { folder })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that there is, but for so much. Gives what takes it.
    ///
    /// # Errors
    ///
    /// That the file system cannot be asked.
    pub fn fill(&self, but_kib: u64) -> Result<PathBuf> {
        let ballast = self.path().join("ballast");
        let room = || -> Result<u64> {
            let stat = rustix::fs::statvfs(self.path())?;
            Ok(stat.f_bavail * stat.f_frsize)
        };
        let take = room()?.saturating_sub(but_kib << 10);
        let taken = usize::try_from(take).context("more than memory has")?;
        match fs::write(&ballast, vec![7; taken]) {
            // Others were faster with some of it: then there is none.
            Err(error) if error.kind() == ErrorKind::StorageFull => {}
            written => written.context("take the room")?,
        }
        Ok(ballast)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Whoever has a file open there has been killed with its home.
        let _gone = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}
