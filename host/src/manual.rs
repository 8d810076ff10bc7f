//! Completions and man pages, as the grammar of the command line has them.
//!
//! A shell is given a script that asks this program for what a word may become: releases are
//! those that lie in the home then.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::engine::complete as complete_words;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Shells, Zsh};
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
    let shells: [&dyn EnvCompleter; 4] = [&WholeWords, &Elvish, &Fish, &Zsh];
    let asked = CompleteEnv::with_factory(grammar).var(ASKED);
    asked.shells(Shells(&shells)).complete();
}

/// Bash, which has `--home=DIR` as three words.
struct WholeWords;

impl EnvCompleter for WholeWords {
    fn name(&self) -> &'static str {
        Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        Bash.is(name)
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        Bash.write_registration(var, name, bin, completer, buf)
    }

    fn write_complete(
        &self,
        cmd: &mut clap::Command,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        // By these two its script says which word it asks for, and what goes between answers.
        let index = env::var("_CLAP_COMPLETE_INDEX").ok();
        let index = index.and_then(|it| it.parse().ok()).unwrap_or_default();
        let between = env::var("_CLAP_IFS").unwrap_or_else(|_| "\n".to_owned());
        let joined = Joined::of(&args, index);
        if joined.words.len() == args.len() {
            return Bash.write_complete(cmd, args, current_dir, buf);
        }
        let Joined {
            words,
            index,
            option,
        } = joined;
        let found = complete_words(cmd, words, index, current_dir)?;
        let found = found.iter().map(|it| it.get_value().to_string_lossy());
        let found: Vec<_> = found
            .map(|it| it.strip_prefix(&*option).unwrap_or(&it).to_owned())
            .collect();
        write!(buf, "{}", found.join(&between))
    }
}

/// Words of a line, of which bash has taken `--home=DIR` apart.
#[derive(Debug, PartialEq, Eq)]
struct Joined {
    /// With each option and its value in one.
    words: Vec<OsString>,
    /// Which one is completed.
    index: usize,
    /// What stands in that before the word that bash asks for: `--home=`.
    option: String,
}

impl Joined {
    fn of(apart: &[OsString], index: usize) -> Self {
        let mut joined = Self {
            words: Vec::new(),
            index,
            option: String::new(),
        };
        let mut takes = false;
        for (at, word) in apart.iter().enumerate() {
            let last = joined.words.last_mut();
            let last = last.filter(|it| takes || word == "=" && is_option(it));
            let begun = match last {
                Some(last) => {
                    takes = !takes;
                    let before = last.to_string_lossy().into_owned();
                    last.push(word);
                    if takes { format!("{before}=") } else { before }
                }
                None => {
                    joined.words.push(word.clone());
                    String::new()
                }
            };
            if at == index {
                joined.index = joined.words.len() - 1;
                joined.option = begun;
            }
        }
        joined
    }
}

fn is_option(word: &OsString) -> bool {
    let name = word.to_str().and_then(|it| it.strip_prefix("--"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('='))
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
        home: named_home(&Joined::of(&words, 0).words),
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
    let behind = words.iter().skip(1).map(Some).chain([None]);
    words
        .iter()
        .zip(behind)
        .find_map(|(word, next)| {
            let value = word.as_bytes().strip_prefix(b"--home=");
            let value = value.map(OsStr::from_bytes);
            value.or(next.filter(|_| word == "--home").map(OsString::as_os_str))
        })
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
    fn what_bash_has_taken_apart_is_one_word_again() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        let joined = |line: &str, index| {
            let Joined {
                words,
                index,
                option,
            } = Joined::of(&words(line), index);
            let words: Vec<_> = words.iter().map(|it| it.to_string_lossy()).collect();
            (words.join(" "), index, option)
        };
        let (home, none) = ("--home=".to_owned(), String::new());
        for (line, index, found) in [
            ("host upgrade 0.", 2, ("host upgrade 0.", 2, &none)),
            (
                "host --home /x plan 0.",
                4,
                ("host --home /x plan 0.", 4, &none),
            ),
            (
                "host plan --home = /x 0.",
                5,
                ("host plan --home=/x 0.", 3, &none),
            ),
            (
                "host plan --home = /x",
                4,
                ("host plan --home=/x", 2, &home),
            ),
            ("host plan --home =", 3, ("host plan --home=", 2, &home)),
            (
                "host plan --home=/x 0.",
                3,
                ("host plan --home=/x 0.", 3, &none),
            ),
            ("host rpc a = b", 4, ("host rpc a = b", 4, &none)),
        ] {
            let (words, at, option) = found;
            let found = (words.to_owned(), at, option.clone());
            assert_eq!(joined(line, index), found, "{line}");
        }
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
