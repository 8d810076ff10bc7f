//! Completions and man pages, as the grammar of the command line has them.
//!
//! A shell is given a script that asks this program for what a word may become: releases are
//! those that lie in the home then.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Zsh};
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate};
use host_cli::args::{Cli, Global, Shell};
use host_cli::{Failure, Output};
use serde_json::json;

use crate::launcher::Found;
use crate::prompt::is_release;

/// By this a script of [`completions`] asks: its value is the shell.
const ASKED: &str = "HOST_COMPLETE";

/// Answers the script of a shell, and ends; where none asks it does nothing.
pub(crate) fn complete() {
    CompleteEnv::with_factory(grammar).var(ASKED).complete();
}

fn grammar() -> clap::Command {
    knowing_releases(Cli::command())
}

fn knowing_releases(command: clap::Command) -> clap::Command {
    let known = |argument: clap::Arg| match is_release(&argument) {
        true => argument.add(ArgValueCandidates::new(releases)),
        false => argument,
    };
    command.mut_args(known).mut_subcommands(knowing_releases)
}

/// The releases of the home; none where there is no home, or it cannot be read.
fn releases() -> Vec<CompletionCandidate> {
    let words: Vec<_> = env::args_os().collect();
    let global = Global {
        home: named_home(&words),
        json: false,
        env_file: None,
    };
    let found = Found::home(&global).ok();
    let versions = found.and_then(|it| it.home.releases().versions().ok());
    let versions = versions.unwrap_or_default().into_iter();
    versions
        .map(|it| CompletionCandidate::new(it.to_string()))
        .collect()
}

/// The home that is named by `--home DIR` or `--home=DIR`.
fn named_home(words: &[OsString]) -> Option<PathBuf> {
    let whole = words.iter().find_map(|word| {
        let value = word.as_bytes().strip_prefix(b"--home=");
        value.map(OsStr::from_bytes)
    });
    let apart = words.windows(2).find(|it| it[0] == "--home");
    whole
        .or_else(|| apart.map(|it| it[1].as_os_str()))
        .map(PathBuf::from)
}

/// `host completions SHELL`
pub(crate) fn completions(shell: Shell, out: &mut Output<'_>) -> Result<u8, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::Zsh => &Zsh,
    };
    // As it was called: by its name alone it is looked for in PATH then, too.
    let called = env::args_os().next().map(PathBuf::from);
    let called = called.filter(|it| it.components().count() > 1);
    let program = called.and_then(|it| std::path::absolute(it).ok());
    let program = program.unwrap_or_else(|| "host".into());
    let mut script = Vec::new();
    shell.write_registration(
        ASKED,
        "host",
        "host",
        &program.to_string_lossy(),
        &mut script,
    )?;
    let script = String::from_utf8_lossy(&script);
    out.document(&json!({ "script": script }), |_| script.to_string())?;
    Ok(0)
}

/// `host man DIR`
pub(crate) fn man(dir: &Path, out: &mut Output<'_>) -> Result<u8, Failure> {
    let failed = |e| {
        let message = format!("write the man pages into {}: {e}", dir.display());
        Failure::refused("io", message)
    };
    fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    let document = json!({ "dir": dir });
    out.document(&document, |_| {
        format!("the man pages are in {}", dir.display())
    })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of every command that is shown, such as `host-upgrade-pause`.
    fn pages(command: &clap::Command, line: &str, all: &mut Vec<String>) {
        all.push(line.to_owned());
        for inner in command.get_subcommands() {
            if !inner.is_hide_set() && inner.get_name() != "help" {
                pages(inner, &format!("{line}-{}", inner.get_name()), all);
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("man1");
        man(&folder, &mut Output::new(false, &mut Vec::new())).unwrap();
        let mut all = Vec::new();
        pages(&Cli::command(), "host", &mut all);
        assert!(all.len() > 40, "{all:?}");
        for name in &all {
            let page = fs::read_to_string(folder.join(format!("{name}.1")));
            let page = page.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
            assert!(page.contains("Example:"), "{name} has no example: {page}");
        }
        // And no page is of what nobody types.
        let found = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let found: Vec<String> = found.map(|name| name.into_string().unwrap()).collect();
        assert!(
            !found.iter().any(|name| name.starts_with("host-serve")),
            "{found:?}"
        );
    }

    #[test]
    fn a_home_is_named_in_two_ways() {
        let named = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            named_home(&words)
        };
        for line in [
            "host --home /x plan",
            "host --home=/x plan",
            "plan --home=/x",
        ] {
            assert_eq!(named(line), Some("/x".into()), "{line}");
        }
        for line in ["host plan", "host plan --home", "--homes=/x"] {
            assert_eq!(named(line), None, "{line}");
        }
    }

    #[test]
    fn every_shell_asks_this_program() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::Zsh] {
            let mut script = Vec::new();
            completions(shell, &mut Output::new(false, &mut script)).unwrap();
            let script = String::from_utf8(script).unwrap();
            let program = env::args().next().unwrap();
            assert!(script.contains(&program), "{shell:?}: {script}");
            assert!(script.contains(ASKED), "{shell:?}: {script}");
        }
    }

    #[test]
    fn releases_are_known_wherever_a_command_takes_one() {
        let grammar = grammar();
        let takes_a_release = |command: &clap::Command| {
            let mut arguments = command.get_arguments();
            arguments.any(|it| it.get::<ArgValueCandidates>().is_some())
        };
        for name in ["upgrade", "plan", "rehearse", "remove", "rollback"] {
            let command = grammar.find_subcommand(name).unwrap();
            assert!(takes_a_release(command), "{name}");
        }
        assert!(!takes_a_release(grammar.find_subcommand("status").unwrap()));
    }
}
