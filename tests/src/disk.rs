//! A disk that fails: the library of `tests/disk`, preloaded into the processes of a
//! home, and a real file system that is small.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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

/// A file system of its own in a file of this size. Unmounted when dropped.
#[derive(Debug)]
pub struct Loopback {
    folder: TempDir,
}

impl Loopback {
    /// Makes and mounts it. None where that is not allowed: in most containers.
    ///
    /// # Errors
    ///
    /// That there is no room for the file.
    pub fn mount(mib: u64) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let (image, place) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&place)?;
        let file = fs::File::create(&image)?;
        file.set_len(mib << 20).context("make room for an image")?;
        let mounted = runs(Command::new("mkfs.ext4").arg("-q").arg(&image))
            && runs(
                Command::new("mount")
                    .arg("-o")
                    .arg("loop")
                    .arg(&image)
                    .arg(&place),
            );
        Ok(mounted.then_some(Self { folder }))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
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
        fs::write(&ballast, vec![7; taken]).context("take the room")?;
        Ok(ballast)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // Whoever has a file open there has been killed with its home.
        runs(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn runs(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let ended = quiet.stderr(Stdio::null()).status();
    ended.is_ok_and(|status| status.success())
}
