//! `host systemd unit`: a unit file for this home, as an operator would write it.
//!
//! What the host needs it keeps: a rehearsal's child installs a seccomp filter, lowers its
//! own limits and its priority (`SCHED_IDLE`), and libraries are mapped executable from
//! `images`. Users are those of the machine (no `PrivateUsers`), for the audit trail names who
//! asked, by the kernel's word and `/etc/passwd`. Processes of others are hidden: nothing of
//! theirs is read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use host_cli::args::Systemd;
use host_cli::failure::EXIT_LOOK;
use host_cli::{Failure, Output};
use host_model::limits::STOP_TIMEOUT;
use serde_json::json;

use crate::config::store_file;
use crate::launcher::Found;

/// A start may have a store's actors come over to another release first.
const START_S: u64 = 600;

/// Both runtimes answer within a second; this is for a machine that is in trouble.
const WATCHDOG_S: u64 = 30;

/// So many starts within [`STARTS_WITHIN_S`] are no accident.
const STARTS_MAX: u32 = 5;

/// See [`STARTS_MAX`].
const STARTS_WITHIN_S: u32 = 300;

/// What `getent` ends with where it is asked for a name that is not there: getent(1).
const GETENT_UNKNOWN: i32 = 2;

/// What a unit is made for.
#[derive(Debug)]
struct Unit {
    root: PathBuf,
    data: PathBuf,
    /// Of the embedded store, where it is elsewhere.
    store: Option<PathBuf>,
    /// Read in place of `etc/env`.
    env_file: Option<PathBuf>,
    user: String,
    cores: usize,
    forking: bool,
}

/// Prints the unit of this home.
pub(crate) fn run(
    Systemd::Unit { forking, user }: Systemd,
    found: &Found,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let unit = Unit {
        root: found.home.root.clone(),
        data: found.home.data.clone(),
        store: store_elsewhere(found),
        env_file: found.env_file().map(Path::to_owned),
        user,
        cores: available_parallelism().map_or(1, usize::from),
        forking,
    };
    unit.check()?;
    let mut warnings = Vec::new();
    if is_nobody(&unit.user) {
        warnings.push(format!(
            "the user {} is not on this machine: make it before the unit is started, as the lines at its top say, or name another by --user",
            unit.user
        ));
    }
    if let Some(file) = unit.env_file.as_ref().filter(|file| !file.exists()) {
        warnings.push(format!(
            "there is no file {}: write it before the unit is started",
            file.display()
        ));
    }
    if !unit.data.is_dir() {
        warnings.push(format!(
            "there is no folder {}, which HOST_DATA names: make it before the unit is started, as the lines at its top say",
            unit.data.display()
        ));
    }
    for warning in &warnings {
        out.warn(warning);
    }
    let text = unit.text();
    let document = json!({ "unit": text, "warnings": warnings });
    out.document(&document, |_| text.clone())?;
    Ok(0)
}

/// The folder of the embedded store, where settings put it outside of `HOST_DATA`.
fn store_elsewhere(found: &Found) -> Option<PathBuf> {
    let file = store_file(&found.settings, &found.home)?;
    let folder = file.parent()?.to_owned();
    (!folder.starts_with(&found.home.data)).then_some(folder)
}

/// Whether it is certain that there is no such user, wherever this machine has them from.
fn is_nobody(user: &str) -> bool {
    let asked = Command::new("getent")
        .args(["passwd", "--", user])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.code() == Some(GETENT_UNKNOWN))
}

/// Whether a path stands in a unit as it is.
fn is_plain(path: &Path) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./_-+".contains(&b);
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .all(|b| plain(*b))
}

/// Whether a user's name stands in a unit as it is.
fn is_name(user: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !user.is_empty() && !user.starts_with('-') && user.bytes().all(plain)
}

impl Unit {
    /// Refuses what would mean something else in a unit.
    fn check(&self) -> Result<(), Failure> {
        let more = [self.store.as_ref(), self.env_file.as_ref()];
        for path in [&self.root, &self.data]
            .into_iter()
            .chain(more.into_iter().flatten())
        {
            if !is_plain(path) {
                return Err(Failure::refused(
                    "odd_path",
                    format!(
                        "write a unit: {} has characters that mean something in one; move it to a path of letters, digits and ./_-",
                        path.display()
                    ),
                ));
            }
        }
        match is_name(&self.user) {
            true => Ok(()),
            false => Err(Failure::refused(
                "odd_user",
                format!(
                    "write a unit: {:?} is no name of a user; --user wants one of letters, digits and ._-",
                    self.user
                ),
            )),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "\
# The host runs as the user {user}, who owns what it writes and may read its settings.
# Where that is not so yet:
#   useradd --system --user-group --home-dir {root} --shell /usr/sbin/nologin {user}
#   {owned}
# Install this as /etc/systemd/system/host.service, then:
#   systemctl daemon-reload && systemctl enable --now host
# Limits are yours to set: MemoryMax, CPUQuota, TasksMax, LimitNOFILE.

[Unit]
Description=host in {root}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec={STARTS_WITHIN_S}
StartLimitBurst={STARTS_MAX}

[Service]
",
            user = self.user,
            root = self.root.display(),
            owned = self.owned(),
        );
        text += &self.life();
        text += &self.surroundings();
        text += "\n[Install]\nWantedBy=multi-user.target\n";
        text
    }

    /// The settings' file, which may hold secrets and be for its owner alone.
    fn env(&self) -> PathBuf {
        let env_file = self.env_file.clone();
        env_file.unwrap_or_else(|| self.root.join("etc/env"))
    }

    /// What gives the user what it writes and reads.
    fn owned(&self) -> String {
        let (user, data, env) = (&self.user, self.data.display(), self.env());
        let env = match env.starts_with(&self.data) {
            true => String::new(),
            false => format!(" {}", env.display()),
        };
        let make = match self.data == self.root {
            true => String::new(),
            false => format!("mkdir -p {data} && "),
        };
        let store = self.store.iter().map(|it| format!(" {}", it.display()));
        let store: String = store.collect();
        format!("{make}chown -R {user}: {data}{store}{env}")
    }

    /// How it starts, reloads and ends.
    fn life(&self) -> String {
        let (root, data, env) = (self.root.display(), self.data.display(), self.env());
        let mut host = format!("{root}/bin/host");
        if let Some(file) = &self.env_file {
            host += &format!(" --env-file {}", file.display());
        }
        let mut text = match self.forking {
            true => format!(
                "\
Type=forking
PIDFile={data}/run/keeper.pid
ExecStart={host} daemon
ExecStop={host} stop
"
            ),
            false => format!(
                "\
Type=notify
NotifyAccess=main
WatchdogSec={WATCHDOG_S}
ExecStart={host} start
"
            ),
        };
        if self.data != self.root {
            let _ = writeln!(text, "Environment=HOST_DATA={data}");
        }
        // The gateway's time, the journal's, and room.
        let stop_s = 2 * STOP_TIMEOUT.as_secs() + 10;
        let _ = write!(
            text,
            "\
ExecReload={host} reload
WorkingDirectory={root}
# What is set there wins, and waits for a restart. The host reads
# {env} by itself, at a reload too.
EnvironmentFile=-/etc/default/host
User={user}
TimeoutStartSec={START_S}
TimeoutStopSec={stop_s}
KillMode=mixed
Restart=on-failure
RestartSec=2
# An operator must look: another start would find the same.
RestartPreventExitStatus={EXIT_LOOK}
StandardOutput=journal
StandardError=journal
",
            user = self.user,
            env = env.display(),
        );
        text
    }

    /// What it may use, and what it may do.
    fn surroundings(&self) -> String {
        let (data, quota) = (self.data.display(), self.cores * 100);
        let env = self.env();
        let below = |dirs: &[&str]| {
            let used = [&self.root, &self.data, &env]
                .into_iter()
                .chain(&self.store);
            used.into_iter()
                .any(|path| dirs.iter().any(|dir| path.starts_with(dir)))
        };
        let home = match below(&["/home", "/root", "/run/user"]) {
            true => "read-only",
            false => "yes",
        };
        let tmp = match below(&["/tmp", "/var/tmp"]) {
            true => "no",
            false => "yes",
        };
        let store = self.store.iter().map(|it| format!(" {}", it.display()));
        let store: String = store.collect();
        format!(
            "
MemoryMax=80%
CPUQuota={quota}%
TasksMax=4096
LimitNOFILE=65536
OOMPolicy=continue

UMask=0077
ReadWritePaths={data}{store}
ProtectSystem=strict
ProtectHome={home}
PrivateTmp={tmp}
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
# Libraries are mapped executable and never writable.
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
# A rehearsal's child shuts itself in.
SystemCallFilter=@system-service seccomp
SystemCallErrorNumber=EPERM
"
        )
    }
}

#[cfg(test)]
mod tests;
