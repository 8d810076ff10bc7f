//! `host systemd unit`: a unit file for this home, as an operator would write it.
//!
//! What the host needs it keeps: a rehearsal's child installs a seccomp filter, lowers its
//! own limits and its priority (`SCHED_IDLE`), and libraries are mapped executable from
//! `images`. Users are those of the machine (no `PrivateUsers`), for the audit trail names who
//! asked, by the kernel's word and `/etc/passwd`. Processes of others are hidden: nothing of
//! theirs is read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use host_cli::args::Systemd;
use host_cli::failure::EXIT_LOOK;
use host_cli::{Failure, Output};
use host_model::limits::STOP_TIMEOUT;
use serde_json::json;

use crate::launcher::Found;

/// A start may have a store's actors come over to another release first.
const START_S: u64 = 600;

/// Both runtimes answer within a second; this is for a machine that is in trouble.
const WATCHDOG_S: u64 = 30;

/// So many starts within [`STARTS_WITHIN_S`] are no accident.
const STARTS_MAX: u32 = 5;

/// See [`STARTS_MAX`].
const STARTS_WITHIN_S: u32 = 300;

/// What a unit is made for.
#[derive(Debug)]
struct Unit {
    root: PathBuf,
    data: PathBuf,
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
        user,
        cores: available_parallelism().map_or(1, usize::from),
        forking,
    };
    for path in [&unit.root, &unit.data] {
        if !is_plain(path) {
            return Err(Failure::refused(
                "odd_path",
                format!(
                    "write a unit: {} has characters that mean something in one; move the home to a path of letters, digits and ./_-",
                    path.display()
                ),
            ));
        }
    }
    let text = unit.text();
    out.document(&json!({ "unit": text }), |_| text.clone())?;
    Ok(0)
}

/// Whether a path stands in a unit as it is.
fn is_plain(path: &Path) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"./_-+".contains(&b);
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .all(|b| plain(*b))
}

impl Unit {
    fn text(&self) -> String {
        let mut text = format!(
            "\
# Install it as /etc/systemd/system/host.service, then:
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
            root = self.root.display(),
        );
        text += &self.life();
        text += &self.surroundings();
        text += "\n[Install]\nWantedBy=multi-user.target\n";
        text
    }

    /// How it starts, reloads and ends.
    fn life(&self) -> String {
        let (root, data) = (self.root.display(), self.data.display());
        let mut text = match self.forking {
            true => format!(
                "\
Type=forking
PIDFile={data}/run/keeper.pid
ExecStart={root}/bin/host daemon
ExecStop={root}/bin/host stop
"
            ),
            false => format!(
                "\
Type=notify
NotifyAccess=main
WatchdogSec={WATCHDOG_S}
ExecStart={root}/bin/host start
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
ExecReload={root}/bin/host reload
WorkingDirectory={root}
# What is set there wins, and waits for a restart. The host reads {root}/etc/env by
# itself, at a reload too.
EnvironmentFile=-/etc/default/host
User={user}
Group={user}
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
        );
        text
    }

    /// What it may use, and what it may do.
    fn surroundings(&self) -> String {
        let (data, quota) = (self.data.display(), self.cores * 100);
        let below = |dirs: &[&str]| {
            dirs.iter()
                .any(|dir| self.root.starts_with(dir) || self.data.starts_with(dir))
        };
        let home = match below(&["/home", "/root", "/run/user"]) {
            true => "read-only",
            false => "yes",
        };
        let tmp = match below(&["/tmp", "/var/tmp"]) {
            true => "no",
            false => "yes",
        };
        format!(
            "
MemoryMax=80%
CPUQuota={quota}%
TasksMax=4096
LimitNOFILE=65536
OOMPolicy=continue

UMask=0077
ReadWritePaths={data}
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
