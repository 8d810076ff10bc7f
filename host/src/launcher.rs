//! Finds the home that this program belongs to, and the release that it should be.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use host_cli::args::{Allow, Global};
use host_cli::{Failure, Output};
use host_model::Version;
use host_upgrade::Unpacked;
use serde_json::json;

use crate::boots::{COUNTED, Why, counted};
use crate::config::{Config, Draft};
use crate::home::{Home, HomeError};
use crate::left::{InForce, Left};
use crate::pidfile::is_held;
use crate::settings::Settings;
use crate::settings::files::Files;

/// A home with its settings.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) home: Home,
    pub(crate) settings: Settings,
    /// The files that those of the home are of.
    files: Files,
    /// What is kept of releases that were left.
    left: Left,
    env_file: Option<PathBuf>,
    /// What the command line allows.
    pub(crate) allow: Allow,
}

impl Found {
    /// The home that the command line, the environment or this program's place names.
    pub(crate) fn home(global: &Global) -> Result<Self, Failure> {
        let program = env::current_exe().unwrap_or_default();
        let named = env::var_os("HOST_HOME").filter(|home| !home.is_empty());
        let named = global.home.clone().or(named.map(PathBuf::from));
        let by = match global.home {
            Some(_) => "--home",
            None => "HOST_HOME (the environment)",
        };
        Self::at(
            &find(named.as_deref(), by, &program)?,
            global.env_file.as_deref(),
        )
    }

    /// The home that is named, or one that could be made there; without a name, the home
    /// around this program, or the folder in whose `bin` it lies.
    pub(crate) fn place(global: &Global) -> Result<Self, Failure> {
        let home = Self::home(global);
        let named = env::var_os("HOST_HOME").filter(|home| !home.is_empty());
        let named = global.home.clone().or(named.map(PathBuf::from));
        let beside = || {
            let program = env::current_exe().ok()?.canonicalize().ok()?;
            let bin = program.parent().filter(|dir| dir.ends_with("bin"))?;
            bin.parent().map(Path::to_owned)
        };
        match (home, named.or_else(beside)) {
            (Ok(home), _) => Ok(home),
            (Err(_), Some(root)) => {
                let root = std::path::absolute(&root).map_err(|e| {
                    Failure::refused("no_home", format!("find {}: {e}", root.display()))
                })?;
                Self::at(&root, global.env_file.as_deref())
            }
            (Err(_), None) => Err(Failure::refused(
                "no_home",
                "find the folder to install into: name a home or an empty folder with --home DIR",
            )),
        }
    }

    /// The same home, as it is now.
    pub(crate) fn anew(&self, global: &Global) -> Result<Self, Failure> {
        Self::at(&self.home.root, global.env_file.as_deref())
    }

    /// The same home, with the same file of settings and the same leave, as all of it is now.
    pub(crate) fn again(&self) -> Result<Self, Failure> {
        let found = Self::at(&self.home.root, self.env_file.as_deref())?;
        Ok(found.allowing(self.allow))
    }

    fn at(root: &Path, env_file: Option<&Path>) -> Result<Self, Failure> {
        let env_file = match env_file {
            Some(file) => Some(std::path::absolute(file).map_err(|e| {
                Failure::refused("env_file", format!("find {}: {e}", file.display()))
            })?),
            None => None,
        };
        let files = Files::read(root, env_file.as_deref());
        let mut settings = read(&files);
        let home = Home::new(root, &settings);
        let left = Left::read(&home.left_configuration());
        let left = left.unwrap_or_else(|fault| {
            settings.fault(fault);
            Left::default()
        });
        let mut found = Self {
            home,
            settings,
            files,
            left,
            env_file,
            allow: Allow::default(),
        };
        // A home that cannot boot is told of by what needs to boot it.
        if let Ok((release, why)) = found.home.booting(counted().as_ref()) {
            found.boots(&release, &why);
        }
        Ok(found)
    }

    /// Takes the settings with which `release` boots: those of `etc/`, unless they are of a
    /// release that it was left for and that does not rule.
    fn boots(&mut self, release: &Unpacked, why: &Why) {
        let version = &release.manifest.version;
        add_release(&mut self.settings, release);
        let (instead, because) = if let Some(files) = self.left.instead(version, &self.files) {
            (
                files,
                "etc/ says what it said when that was left".to_owned(),
            )
        } else {
            let fell_back = matches!(why, Why::FellBack { .. });
            let behind = self.left.behind(version, &self.files, fell_back);
            match (behind, self.config()) {
                (Some(files), Err(wrong)) => (files, format!("etc/ cannot be taken now ({wrong})")),
                _ => return,
            }
        };
        self.settings = with_release(&instead, release);
        self.settings.note(format!(
            "release {version} runs with the files of settings that it last ran with, for {because}; change etc/ for it, or `host reload` when it runs, and etc/ holds"
        ));
        self.files = instead;
    }

    /// The same, allowing what a command line says.
    pub(crate) fn allowing(self, allow: Allow) -> Self {
        Self { allow, ..self }
    }

    /// The configuration, with everything that is wrong with it.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Config::resolve(&self.settings, &self.home)
            .map_err(|e| Failure::refused("bad_config", e.to_string()))
    }

    /// The configuration as far as it can be read, with everything that is wrong with it.
    pub(crate) fn draft(&self) -> Draft<'_> {
        Config::draft(&self.settings, &self.home)
    }

    /// What `release` makes of the home: with what it last ran with, where that is to be
    /// brought back. `anew`: with the files as they are.
    pub(crate) fn settings_of(&self, release: &Unpacked, anew: bool) -> Settings {
        let files = Files::read(&self.home.root, self.env_file.as_deref());
        let instead = self.left.instead(&release.manifest.version, &files);
        with_release(&instead.filter(|_| !anew).unwrap_or(files), release)
    }

    /// What is in force in the process that was started with this, in which `release` rules.
    pub(crate) fn in_force(&self, release: &Version) -> InForce {
        let home = &self.home;
        let places = (
            home.root.clone(),
            self.env_file.clone(),
            home.left_configuration(),
        );
        let (files, left) = (self.files.clone(), self.left.clone());
        InForce::start(places, release.clone(), files, left)
    }

    /// The release that boots.
    pub(crate) fn booting(&self) -> Result<Unpacked, Failure> {
        let booting = self.home.booting(counted().as_ref());
        let booting = booting.map_err(home_failure)?;
        Ok(booting.0)
    }

    /// What is read in place of `etc/env`, if anything is.
    pub(crate) fn env_file(&self) -> Option<&Path> {
        self.env_file.as_deref()
    }

    /// The arguments by which another process finds the same home and settings.
    pub(crate) fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = vec!["--home".into(), self.home.root.clone().into()];
        if let Some(file) = &self.env_file {
            arguments.extend(["--env-file".into(), file.clone().into()]);
        }
        arguments
    }

    /// Goes on as the program of the release that boots, with the same arguments,
    /// unless this is it already. Life and death of a host belong to the release
    /// that it boots. `is_start`: a program that cannot even be run has been tried.
    pub(crate) fn become_release(&self, is_start: bool) -> Result<(), Failure> {
        let counted = counted();
        let booting = self.home.booting(counted.as_ref());
        let (release, why) = booting.map_err(home_failure)?;
        let (program, version) = (release.program(), release.manifest.version);
        let same = |path: &Path| path.canonicalize().ok();
        let here = env::current_exe().ok().and_then(|here| same(&here));
        if here.is_some() && here == same(&program) {
            return Ok(());
        }
        let mut command = Command::new(&program);
        let processes = [self.home.pid_file(), self.home.keeper_pid_file()];
        if is_start && !processes.iter().any(|file| is_held(file)) {
            if counted.as_ref() != Some(&version) {
                let noted = self.home.count_attempt(&version, &why);
                noted.map_err(home_failure)?;
            }
            command.env(COUNTED, version.to_string());
        }
        let error = command
            .args(env::args_os().skip(1))
            // What named the home for this program names it for the next.
            .env("HOST_HOME", &self.home.root)
            .exec();
        Err(Failure::refused(
            "exec",
            format!(
                "run {}: {error}; install the release again",
                program.display()
            ),
        ))
    }
}

/// The settings of a home, with those of `release`.
pub(crate) fn with_release(files: &Files, release: &Unpacked) -> Settings {
    let mut settings = read(files);
    add_release(&mut settings, release);
    settings
}

fn add_release(settings: &mut Settings, release: &Unpacked) {
    settings.add_release(&release.dir);
    settings.declare(&release.manifest.plugins);
}

/// The settings of a home, but for those of a release.
fn read(files: &Files) -> Settings {
    let (mut values, mut garbled) = (Vec::new(), Vec::new());
    // A name that is no text is nobody's here.
    let named = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    for (name, value) in named {
        match value.into_string() {
            Ok(value) => values.push((name, value)),
            Err(_) => garbled.push(name),
        }
    }
    let mut settings = Settings::of(files, values);
    settings.refuse_garbled(garbled);
    settings
}

/// The root of a home: what is `named`, by what, else where `program` lies.
fn find(named: Option<&Path>, by: &str, program: &Path) -> Result<PathBuf, Failure> {
    let missing = |message: String| Failure::refused("no_home", message);
    if let Some(named) = named {
        let root = named.canonicalize().map_err(|e| {
            missing(format!(
                "open the home {}, which {by} names: {e}",
                named.display()
            ))
        })?;
        return match root.join("releases").is_dir() {
            true => Ok(root),
            false => Err(missing(format!(
                "open the home {}, which {by} names: it has no folder releases; install a release into it with `host install FILE --home DIR`",
                root.display()
            ))),
        };
    }
    beside(program).ok_or_else(|| {
        missing(format!(
            "find a home: neither --home nor HOST_HOME names one, and {} does not lie in one; make one with `host install FILE --home DIR`",
            program.display()
        ))
    })
}

/// The home around `bin/host`, or around `releases/V/bin/host`.
fn beside(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().ok()?;
    let bin = program.parent().filter(|dir| dir.ends_with("bin"))?;
    let parent = bin.parent()?;
    if parent.join("releases").is_dir() {
        return Some(parent.to_owned());
    }
    let releases = parent.parent().filter(|dir| dir.ends_with("releases"))?;
    releases.parent().map(Path::to_owned)
}

/// `host version`
pub(crate) fn version(global: &Global, out: &mut Output<'_>) -> Result<u8, Failure> {
    let host = env!("CARGO_PKG_VERSION");
    let release = match Found::home(global) {
        Ok(found) => Some(found.booting()?.manifest),
        // Without a home there is still a program; a home that was named must be one.
        Err(failure) if global.home.is_some() => return Err(failure),
        Err(_) => None,
    };
    let document = json!({
        "host": host,
        "name": release.as_ref().map(|r| &r.name),
        "permanent": release.as_ref().map(|r| &r.version),
    });
    out.document(&document, |_| match &release {
        Some(release) => format!("{} {} (host {host})", release.name, release.version),
        None => format!("host {host}"),
    })?;
    Ok(0)
}

/// A fault of the home, with its cause.
pub(crate) fn home_failure(error: HomeError) -> Failure {
    Failure::refused("bad_home", format!("{:#}", anyhow::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_home_is_found_from_where_the_program_lies() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for place in [
            "home/bin",
            "home/releases/0.1.0/bin",
            "elsewhere/bin",
            "loose",
        ] {
            fs::create_dir_all(root.join(place)).unwrap();
            fs::write(root.join(place).join("host"), "").unwrap();
        }
        let home = root.join("home");
        std::os::unix::fs::symlink(home.join("bin/host"), root.join("link")).unwrap();
        for (program, found) in [
            ("home/bin/host", true),
            ("home/releases/0.1.0/bin/host", true),
            ("link", true),
            ("elsewhere/bin/host", false),
            ("loose/host", false),
        ] {
            let path = beside(&root.join(program));
            assert_eq!(path, found.then(|| home.clone()), "{program}");
        }
    }

    #[test]
    fn what_is_named_wins_and_must_be_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/releases")).unwrap();
        fs::create_dir_all(root.join("b")).unwrap();
        let nowhere = Path::new("/nowhere/host");
        assert_eq!(
            find(Some(&root.join("a")), "--home", nowhere).unwrap(),
            root.join("a")
        );
        let error = find(Some(&root.join("b")), "--home", nowhere).unwrap_err();
        assert!(error.to_string().contains("no folder releases"), "{error}");
        let error = find(None, "", nowhere).unwrap_err();
        assert!(error.to_string().contains("host install"), "{error}");
    }
}
