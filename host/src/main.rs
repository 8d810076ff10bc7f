//! The `host` program: launcher, keeper and host in one binary.
//!
//! It wires and decides nothing. Commands for a running host go to `host-cli`;
//! what concerns the home itself is carried out here.

mod boots;
mod cgroup;
mod checks;
mod config;
mod env_file;
mod exit;
mod heap;
mod home;
mod inspect;
mod install;
mod keep;
mod keeper;
mod launcher;
mod left;
mod life;
mod logfile;
mod logs;
mod manual;
mod notify;
mod pidfile;
mod prompt;
mod release;
mod secret;
mod serve;
mod settings;
mod systemd;
mod token;
mod unasked;

use std::process::ExitCode;

use clap::Parser;
use host_cli::args::{Allow, Cli, Command, Config, Gen, Global, Local, Remote};
use host_cli::failure::EXIT_USAGE;
use host_cli::{Client, Failure, Output};
use host_model::control::RemoveRequest;

use crate::launcher::Found;

fn main() -> ExitCode {
    manual::complete();
    let mut stdout = std::io::stdout();
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &mut stdout),
    };
    let json = global.json;
    let mut out = Output::new(json, &mut stdout);
    let ended = match command {
        Command::Remote(command) => Found::home(&global).and_then(|found| {
            let command = match command {
                // A home that is stopped has these, too.
                Remote::Releases if !keep::is_running(&found) => {
                    return keep::releases(&found, &mut out);
                }
                Remote::Remove {
                    version,
                    no_way_back,
                    no_replay,
                } if !keep::is_running(&found) => {
                    let asked = RemoveRequest {
                        version,
                        no_way_back,
                        no_replay,
                    };
                    return keep::remove(asked, &found, &mut out);
                }
                command => command,
            };
            let client = Client::new(&found.home.socket());
            on_runtime(host_cli::run(command, &client, &mut out))
        }),
        Command::Local(command) => local(command, &global, &mut out),
    };
    match ended {
        Ok(code) => code.into(),
        Err(failure) => out.failure(&failure).into(),
    }
}

/// Tells what is wrong with a command line, or the help that it asks for. Programs get a
/// document for the former: `--json` holds wherever it stands.
fn usage(error: &clap::Error, stdout: &mut std::io::Stdout) -> ExitCode {
    let asks_for_json = std::env::args_os()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if !error.use_stderr() || !asks_for_json {
        error.exit();
    }
    let failure = Failure::new("usage", EXIT_USAGE, error.to_string().trim_end());
    Output::new(true, stdout).failure(&failure).into()
}

fn local(command: Local, global: &Global, out: &mut Output<'_>) -> Result<u8, Failure> {
    match command {
        Local::Inspect { file, in_process } => match in_process {
            true => Ok(inspect::child(&file)),
            false => inspect::inspect(&file, out),
        },
        Local::Replay => inspect::replay(),
        Local::Rehearsal { images } => Ok(inspect::rehearsal(&images)),
        Local::Release(command) => release::run(command, out),
        Local::Install { file } => install::run(&file, global, out),
        Local::Gen(Gen::Secret) => secret::generate(out),
        Local::Gen(Gen::Token(token)) => token::generate(&token, global, out),
        Local::Gen(Gen::Keys { file }) => release::keys(&file, out),
        Local::Version => launcher::version(global, out),
        Local::Logs { follow, lines } => {
            logs::show(&Found::home(global)?.home.log(), lines, follow, out)
        }
        Local::Audit(command) => keep::audit(command, &Found::home(global)?, out),
        Local::Store(command) => keep::store(command, &Found::home(global)?, out),
        Local::Config(command) => {
            let allow = match &command {
                Config::Check { allow } => *allow,
                Config::Show | Config::Resolve { .. } => Allow::default(),
            };
            config::run(command, &Found::home(global)?.allowing(allow), out)
        }
        Local::Systemd(command) => systemd::run(command, &Found::home(global)?, out),
        Local::Keeper { take_over } => keeper::run(&Found::home(global)?, take_over),
        Local::Serve { take_over } => life::serve(&Found::home(global)?, take_over),
        Local::Start {
            foreground,
            take_over,
            allow,
        } if foreground || life::is_foreground() => {
            let found = Found::home(global)?.allowing(allow);
            found.become_release(true)?;
            life::serve(&found, take_over)
        }
        Local::Start {
            take_over, allow, ..
        } => {
            let found = Found::home(global)?.allowing(allow);
            found.become_release(true)?;
            on_runtime(life::start(&found, take_over, out))
        }
        Local::Daemon { allow } => {
            let found = Found::home(global)?.allowing(allow);
            found.become_release(true)?;
            on_runtime(life::start(&found, false, out))
        }
        Local::Console { allow } => {
            let found = Found::home(global)?.allowing(allow);
            found.become_release(true)?;
            prompt::console(&found, out)
        }
        Local::Prompt => prompt::remote(&Found::home(global)?, out),
        Local::Completions { shell } => manual::completions(shell, out),
        Local::Man { dir } => manual::man(&dir, out),
        Local::Stop => on_runtime(life::stop(&Found::home(global)?.home, out)),
        Local::Restart => {
            // What it runs as and is built for is the keeper's, which was allowed that.
            let allow = Allow {
                root: true,
                debug: true,
            };
            let found = Found::home(global)?.allowing(allow);
            found.become_release(false)?;
            on_runtime(life::restart(&found, out))
        }
    }
}

/// Runs a command to its end. One thread is enough for a client.
fn on_runtime<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::refused("io", format!("start a runtime: {e}")))?
        .block_on(command)
}
