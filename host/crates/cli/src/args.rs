//! The grammar: every command, its arguments and its help.
//!
//! A command stands in one of two lists: [`Remote`] asks a running host over its
//! socket and is answered by this crate; [`Local`] works on the home itself and
//! is carried out by the binary.

pub mod keep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use host_model::{ActorId, Version};

use crate::duration::{deadline, whole_seconds};

mod release;
mod repair;
mod upgrade;

pub use release::{Build, Gen, Release, Token};
pub use repair::{DeadLetters, Outbox, Quarantine};
pub use upgrade::{Extent, Pace, Upgrade};

/// Hot code upgrades for a service that keeps its state and its connections.
#[derive(Debug, Parser)]
#[command(name = "host", version, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  host start && host upgrade 0.2.0\n\nExit codes: 0 done; 1 refused or failed; 2 usage; 3 not running; 4 rolled back; 5 look; 130 interrupted."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The home to work on [default: HOST_HOME, else where this program lies].
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print JSON: one document, or one a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// Read this file instead of etc/env.
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Works on the home itself.
    #[command(flatten)]
    Local(Local),
    /// Asks a running host.
    #[command(flatten)]
    Remote(Remote),
}

/// Commands that the binary carries out.
#[derive(Debug, Clone, Subcommand)]
pub enum Local {
    /// Start the host in the background; returns when it is ready.
    #[command(after_help = "Example:\n  host start")]
    Start {
        /// Stay in the foreground and log to standard output.
        #[arg(long)]
        foreground: bool,
        /// Take the store from a host that owns it and lives: that one can write nothing
        /// more, and ends.
        #[arg(long)]
        take_over: bool,
        /// What is refused otherwise.
        #[command(flatten)]
        allow: Allow,
    },
    /// Start the host in the background, whatever the surroundings.
    #[command(after_help = "Example:\n  host daemon")]
    Daemon {
        /// What is refused otherwise.
        #[command(flatten)]
        allow: Allow,
    },
    /// Be the host in the foreground, with a prompt on it; its log is shown above the prompt.
    #[command(
        visible_alias = "start_iex",
        after_help = "Example:\n  host console\n\nIt is a prompt as of `host remote`. Leaving it stops the host in order, and so does closing\nthe terminal; when the host stops, it ends."
    )]
    Console {
        /// What is refused otherwise.
        #[command(flatten)]
        allow: Allow,
    },
    /// A prompt on the running host: every command, without `host` before it.
    #[command(
        name = "remote",
        visible_alias = "remote_console",
        after_help = "Example:\n  host remote\n  echo 'status' | host remote --json\n\nTab completes commands, releases, actors and events; `help` lists the commands. Ctrl-C\ncancels the line, or the command that runs; Ctrl-D or `exit` leaves, and the host runs on.\nWhere its input is no terminal it reads one command a line, and ends with the exit code of\nthe last one that failed; with 3 at once, where no host runs."
    )]
    Prompt,
    /// Stop the host in order; returns when it is gone.
    #[command(after_help = "Example:\n  host stop")]
    Stop,
    /// Stop the host in order and boot the permanent release.
    #[command(after_help = "Example:\n  host restart")]
    Restart,
    /// Show the permanent release and this program's version.
    #[command(after_help = "Example:\n  host version --json")]
    Version,
    /// Show the end of the log.
    #[command(after_help = "Example:\n  host logs -f")]
    Logs {
        /// Go on showing what is added.
        #[arg(short, long)]
        follow: bool,
        /// How many lines to show first.
        #[arg(short = 'n', long, default_value_t = 100, value_name = "N")]
        lines: usize,
    },
    /// Check a plugin library, and show what it says of itself.
    #[command(after_help = "Example:\n  host inspect releases/0.1.0/plugins/zakat-0.1.0.so")]
    Inspect {
        /// The library.
        #[arg(value_name = "FILE.so")]
        file: PathBuf,
        /// Open it in this process: what the check itself starts as its child.
        #[arg(long, hide = true)]
        in_process: bool,
    },
    /// Apply an actor's events in a process of its own: what a proof starts as a child.
    #[command(hide = true)]
    Replay,
    /// Rehearse actors in a process of its own: what a rehearsal starts as a child.
    #[command(hide = true)]
    Rehearsal {
        /// Where its copies of libraries go.
        #[arg(value_name = "DIR")]
        images: PathBuf,
    },
    /// Make something that must be random.
    #[command(subcommand, after_help = "Example:\n  host gen secret")]
    Gen(Gen),
    /// Check or show the configuration.
    #[command(subcommand, after_help = "Example:\n  host config check")]
    Config(Config),
    /// What has happened here, and the proof of it. On a home that runs or is stopped.
    #[command(subcommand, after_help = "Example:\n  host audit verify")]
    Audit(keep::Audit),
    /// The store: copy it, put it back, look whether it is whole.
    #[command(subcommand, after_help = "Example:\n  host store check")]
    Store(keep::Store),
    /// Run this home as a service of systemd.
    #[command(subcommand, after_help = "Example:\n  host systemd unit")]
    Systemd(Systemd),
    /// Build a release.
    #[command(
        subcommand,
        after_help = "Example:\n  host release build --sign release.key"
    )]
    Release(Release),
    /// Install a release from its package, into a home or an empty folder.
    #[command(
        visible_alias = "unpack",
        after_help = "Example:\n  host install giving-0.2.0.tar.zst\n  host install giving-0.1.0.tar.zst --home /srv/giving\n\nThe first one makes a home of an empty folder, and is permanent there; the next ones lie\nbeside it until `host upgrade V`."
    )]
    Install {
        /// The package.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print what makes a shell complete this program's commands.
    #[command(
        after_help = "Example:\n  host completions bash > /usr/share/bash-completion/completions/host"
    )]
    Completions {
        /// Which shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write a man page for each command into a folder.
    #[command(after_help = "Example:\n  host man /usr/local/share/man/man1")]
    Man {
        /// The folder; it is made if it is not there.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Keep a host alive. Started by `start`.
    #[command(hide = true)]
    Keeper {
        /// See `start`.
        #[arg(long)]
        take_over: bool,
    },
    /// Be the host. Started by `keeper`, perhaps of an older release, or by `start` in the
    /// foreground.
    #[command(hide = true)]
    Serve {
        /// See `start`.
        #[arg(long)]
        take_over: bool,
    },
}

/// A shell that completes what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Zsh,
}

/// What a start in production refuses, unless it is told otherwise.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Allow {
    /// Run as root, also in production.
    #[arg(long = "allow-root")]
    pub root: bool,
    /// Run a debug build, also in production.
    #[arg(long = "allow-debug")]
    pub debug: bool,
}

/// `host systemd ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Systemd {
    /// Print a unit file for this home.
    #[command(
        after_help = "Example:\n  host systemd unit --user giving > /etc/systemd/system/host.service"
    )]
    Unit {
        /// Have a keeper of its own boot the host (Type=forking), and log to log/host.log:
        /// where `host restart` is to work.
        #[arg(long)]
        forking: bool,
        /// The user that it runs as.
        #[arg(long, default_value = "host", value_name = "NAME")]
        user: String,
    },
}

/// `host config ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Config {
    /// Report everything that is wrong with the configuration, and with the surroundings
    /// that a start would find.
    #[command(after_help = "Example:\n  host config check")]
    Check {
        /// What is refused otherwise.
        #[command(flatten)]
        allow: Allow,
    },
    /// Show every setting, defaults too, and where it comes from; secrets are not shown.
    #[command(after_help = "Example:\n  host config show")]
    Show,
    /// Resolve the configuration as release V, whose program this is: what a host that
    /// runs starts as its child before it upgrades to V.
    #[command(hide = true)]
    Resolve {
        /// The release.
        #[arg(long, value_name = "V")]
        release: Version,
    },
}

/// Commands that a running host answers.
#[derive(Debug, Clone, Subcommand)]
pub enum Remote {
    /// Show how the host is.
    #[command(after_help = "Example:\n  host status --json")]
    Status,
    /// Read environment files and host.toml anew, and let take effect what can while the
    /// host runs.
    #[command(
        after_help = "Example:\n  host reload\n\nIf anything is wrong, all of it is told, and the old configuration stays in force."
    )]
    Reload,
    /// Show the process id of the host.
    #[command(after_help = "Example:\n  kill -TERM $(host pid)")]
    Pid,
    /// Send a command or a query to an actor, and show the reply.
    #[command(
        after_help = "Example:\n  host rpc donations:ramadan-2026 open '{\"title\":\"Ramadan\",\"currency\":\"USD\",\"goal\":\"1000\"}'"
    )]
    Rpc {
        /// To whom, `plugin:key`.
        actor: ActorId,
        /// Name of the command or query.
        event: String,
        /// Its payload, a JSON object.
        #[arg(default_value = "{}", value_name = "JSON", value_parser = payload)]
        payload: serde_json::Value,
        /// Its idempotency key: the same one again gets the first answer again.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Show the state of an actor.
    #[command(
        after_help = "Example:\n  host state donations:ramadan-2026\n  host state donations:ramadan-2026 --export > ramadan.json"
    )]
    State {
        /// Whose, `plugin:key`.
        actor: ActorId,
        /// Print all that is kept of it as JSON, as `host quarantine export` does.
        #[arg(long)]
        export: bool,
    },
    /// Show what an actor handles while it does: calls, casts and timers with what came of
    /// them, events and casts that it sent, migrations. Until Ctrl-C, or the host stops.
    #[command(
        after_help = "Example:\n  host trace donations:ramadan-2026\n  host trace donations:ramadan-2026 --for 30s --json\n\nThe actor does not wait for who looks: lines that are not read in time are left out, and\nhow many is told. Long payloads are cut."
    )]
    Trace {
        /// Whose, `plugin:key`; it need not be in memory.
        actor: ActorId,
        /// End after so long: 30s, 2m.
        #[arg(long = "for", value_name = "D", value_parser = whole_seconds)]
        for_s: Option<u64>,
        /// End after so many messages.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Show what the host does right now, every second: calls, commits, memory. Until Ctrl-C.
    #[command(after_help = "Example:\n  host top\n  host top --every 5s --count 1 --json")]
    Top {
        /// How long between two looks.
        #[arg(long, default_value = "1s", value_name = "D", value_parser = whole_seconds)]
        every: u64,
        /// End after so many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// List the actors.
    #[command(after_help = "Example:\n  host actors --plugin donations")]
    Actors {
        /// Only those of this plugin.
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// Only those behind this one, in order of their ids.
        #[arg(long, value_name = "ACTOR")]
        after: Option<ActorId>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
    /// List the releases of this home.
    #[command(
        visible_alias = "versions",
        after_help = "Example:\n  host releases\n\nStatuses: unpacked, current, permanent, old, failed."
    )]
    Releases,
    /// Remove a release that nothing needs.
    #[command(
        after_help = "Example:\n  host remove 0.1.0\n\nRefused, with the reason: what runs or is permanent, what a rollback or an upgrade under\nway goes to, and what the store cannot be read or replayed without."
    )]
    Remove {
        /// The release.
        #[arg(value_name = "V", value_parser = release)]
        version: Version,
        /// Remove it even if a rollback would lead to it.
        #[arg(long)]
        no_way_back: bool,
        /// Remove it even if `store check --replay` comes by what its plugins have written.
        #[arg(long)]
        no_replay: bool,
    },
    /// Show what an upgrade would do.
    #[command(after_help = "Example:\n  host plan 0.2.0")]
    Plan {
        /// The release to go to.
        #[arg(value_name = "V", value_parser = release)]
        version: Version,
    },
    /// Rehearse the change to a release on a copy of the actors; nothing is changed.
    #[command(
        after_help = "Example:\n  host rehearse 0.2.0 --all\n\nIt ends with 0 if nothing speaks against the change, 1 otherwise."
    )]
    Rehearse {
        /// The release to go to; an older one for the way back.
        #[arg(value_name = "V", value_parser = release)]
        version: Version,
        /// Whom.
        #[command(flatten)]
        extent: Extent,
        /// Pass it even if no way back is proven.
        #[arg(long)]
        one_way: bool,
        /// Take a command or migration that runs for so long for one that does not return:
        /// 30s, 2m, up to 24h [default: as `upgrade`].
        #[arg(long, value_name = "D", value_parser = deadline)]
        deadline: Option<u64>,
    },
    /// Upgrade to a release while everything runs, and wait until it is permanent.
    #[command(
        after_help = "Example:\n  host upgrade 0.2.0 --probation 5m\n  host upgrade 0.2.0 --canary 5% --ramp 25%,100%\n\nIt ends with 0 if the release is permanent (with --detach: switched), 4 if it was rolled back."
    )]
    Upgrade(Upgrade),
    /// Make the release that rules permanent now.
    #[command(after_help = "Example:\n  host commit")]
    Commit,
    /// Undo the last upgrade, or go back to release V.
    #[command(
        visible_alias = "downgrade",
        after_help = "Example:\n  host rollback\n  host rollback 0.1.0"
    )]
    Rollback {
        /// The release to go back to [default: the one that the last upgrade left].
        #[arg(value_name = "V", value_parser = release)]
        version: Option<Version>,
        /// Rehearse the way back first; otherwise it is gone at once.
        #[arg(long)]
        rehearse: bool,
    },
    /// List the upgrades and rollbacks that have ended, the newest first; or show all that
    /// is known of one.
    #[command(after_help = "Example:\n  host history\n  host history 5 --json")]
    History {
        /// The one with this number: who asked, plan, each transition, how long callers
        /// waited, what was watched.
        #[arg(value_name = "N")]
        id: Option<u64>,
        /// List at most so many.
        #[arg(long, default_value_t = 20, value_name = "N", conflicts_with = "id")]
        limit: u32,
    },
    /// Actors that were set aside after too many faults.
    #[command(
        subcommand,
        after_help = "Example:\n  host quarantine release donations:ramadan-2026"
    )]
    Quarantine(Quarantine),
    /// Messages that could not be handled.
    #[command(subcommand, after_help = "Example:\n  host dead-letters list")]
    DeadLetters(DeadLetters),
    /// Webhooks that wait to be taken.
    #[command(subcommand, after_help = "Example:\n  host outbox list")]
    Outbox(Outbox),
}

/// A release's version. Who leaves out a number is told which shape it has.
fn release(text: &str) -> Result<Version, String> {
    Version::parse(text)
        .map_err(|e| format!("{e}; a release has a version of three numbers, such as 0.2.0"))
}

fn payload(text: &str) -> Result<serde_json::Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err("a payload is a JSON object, such as '{\"amount\":\"5.00\"}'".to_owned()),
        Err(e) => Err(format!("it is no JSON: {e}")),
    }
}
