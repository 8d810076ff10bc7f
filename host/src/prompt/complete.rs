//! What a word at the prompt may become: commands and options by the grammar; releases,
//! actors and events as the host knows them.

use std::time::Duration;

use clap::CommandFactory;
use host_cli::args::Cli;
use host_cli::{Client, Failure};
use host_model::ActorId;
use host_model::control::{ActorRow, EventsRow, ReleaseRow};
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use super::words::words;

/// A host that takes longer is not waited for: who types wants to go on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Candidates that are asked of the host, at most.
const CANDIDATES_MAX: usize = 100;

/// Words that are the prompt's own.
pub(super) const OWN: [&str; 3] = ["exit", "help", "quit"];

/// Completes words.
pub(super) struct Words {
    grammar: clap::Command,
    client: Client,
    runtime: Runtime,
}

/// What stands at a place of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// One of these.
    Known(Vec<String>),
    /// A release.
    Release,
    /// An actor.
    Actor,
    /// A name of a plugin.
    Plugin,
    /// A command or query of this actor.
    Event(String),
    /// Anything.
    Free,
}

impl Words {
    pub(super) fn new(client: Client, runtime: Runtime) -> Self {
        let mut grammar = Cli::command();
        grammar.build();
        Self {
            grammar,
            client,
            runtime,
        }
    }

    fn candidates(&self, before: &[String], word: &str) -> Vec<String> {
        // Behind an option's `=` its value begins.
        let value = word.starts_with("--").then(|| word.find('=')).flatten();
        let (option, begun) = word.split_at(value.map_or(0, |at| at + 1));
        let known = |place| match place {
            Place::Known(known) => known,
            Place::Release => self.releases(),
            Place::Actor => self.actors(begun),
            Place::Plugin => self.plugins(),
            Place::Event(actor) => self.events(&actor),
            Place::Free => Vec::new(),
        };
        let places = places(&self.grammar, before, word).into_iter();
        let mut found: Vec<String> = places
            .flat_map(known)
            .filter(|candidate| candidate.starts_with(begun))
            .map(|candidate| format!("{option}{candidate}"))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What the host answers; nothing where it does not, or not in time.
    fn ask<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let asked = async { tokio::time::timeout(PATIENCE, self.client.get(path)).await };
        let answer: Result<Result<Vec<T>, Failure>, _> = self.runtime.block_on(asked);
        answer.ok().and_then(Result::ok).unwrap_or_default()
    }

    fn releases(&self) -> Vec<String> {
        let rows: Vec<ReleaseRow> = self.ask("/v1/releases");
        rows.iter().map(|row| row.version.to_string()).collect()
    }

    fn plugins(&self) -> Vec<String> {
        let rows: Vec<EventsRow> = self.ask("/v1/events");
        rows.into_iter().map(|row| row.plugin).collect()
    }

    /// `plugin:` first, then the actors of the plugin with that beginning.
    fn actors(&self, word: &str) -> Vec<String> {
        let Some((plugin, key)) = word.split_once(':') else {
            let plugins = self.plugins().into_iter();
            return plugins.map(|plugin| format!("{plugin}:")).collect();
        };
        // All that begin like it stand behind it.
        let mut pairs = vec![("plugin", Some(plugin.to_owned()))];
        if !key.is_empty() {
            let Ok(id) = word.parse::<ActorId>() else {
                return Vec::new();
            };
            pairs.push(("after", Some(id.to_string())));
        }
        pairs.push(("limit", Some(CANDIDATES_MAX.to_string())));
        let rows: Vec<ActorRow> = self.ask(&format!("/v1/actors{}", host_cli::query(&pairs)));
        rows.into_iter().map(|row| row.actor.to_string()).collect()
    }

    fn events(&self, actor: &str) -> Vec<String> {
        let plugin = actor.split(':').next().unwrap_or_default();
        let rows: Vec<EventsRow> = self.ask("/v1/events");
        rows.into_iter()
            .filter(|row| row.plugin == plugin)
            .flat_map(|row| row.commands.into_iter().chain(row.queries))
            .collect()
    }
}

impl Helper for Words {}

impl Highlighter for Words {}

impl Hinter for Words {
    type Hint = String;
}

impl Validator for Words {}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..pos];
        let start = typed.rfind(char::is_whitespace).map_or(0, |at| {
            at + typed[at..].chars().next().map_or(1, char::len_utf8)
        });
        // Within quotes, or JSON, nothing is known.
        let Ok(mut before) = words(&typed[..start]) else {
            return Ok((pos, Vec::new()));
        };
        if before.first().is_some_and(|first| first == "host") {
            before.remove(0);
        }
        let found = self.candidates(&before, &typed[start..]);
        let pair = |candidate: String| {
            // A plugin's actors come behind its colon.
            let blank = if candidate.ends_with(':') { "" } else { " " };
            Pair {
                replacement: format!("{candidate}{blank}"),
                display: candidate,
            }
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

/// What may stand behind the words `before`, where `word` has begun.
fn places(grammar: &clap::Command, before: &[String], word: &str) -> Vec<Place> {
    let mut command = grammar;
    let mut positional = 0;
    let mut values: Vec<&String> = Vec::new();
    let mut takes: Option<&clap::Arg> = None;
    for given in before {
        if takes.take().is_some() {
            continue;
        }
        if let Some(option) = given.strip_prefix("--") {
            takes = with_value(command, option);
        } else if let Some(inner) = command.find_subcommand(given) {
            (command, positional) = (inner, 0);
            values.clear();
        } else if !given.starts_with('-') {
            positional += 1;
            values.push(given);
        }
    }
    if let Some(option) = takes {
        return vec![of_value(option, &values)];
    }
    if let Some((option, _)) = word.strip_prefix("--").and_then(|it| it.split_once('=')) {
        let option = with_value(command, option);
        return option.map(|it| of_value(it, &values)).into_iter().collect();
    }
    if word.starts_with('-') {
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let long = shown.filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
        return vec![Place::Known(long.collect())];
    }
    let mut inner: Vec<String> = command
        .get_subcommands()
        .filter(|it| !it.is_hide_set() && positional == 0)
        .flat_map(|it| [it.get_name()].into_iter().chain(it.get_visible_aliases()))
        .map(str::to_owned)
        .collect();
    let argument = command.get_positionals().nth(positional).or_else(|| {
        command
            .get_positionals()
            .last()
            .filter(|it| it.get_num_args().is_some_and(|n| n.max_values() > 1))
    });
    if before.is_empty() {
        inner.extend(OWN.map(str::to_owned));
    }
    // `upgrade` has both.
    let value = argument.map(|argument| of_value(argument, &values));
    value.into_iter().chain([Place::Known(inner)]).collect()
}

/// The option of this name, if it takes a value.
fn with_value<'a>(command: &'a clap::Command, option: &str) -> Option<&'a clap::Arg> {
    let mut arguments = command.get_arguments();
    let found = arguments.find(|arg| arg.get_long() == Some(option));
    found.filter(|arg| arg.get_action().takes_values())
}

/// Whether an argument is a release, by the name that its help gives to it.
pub(crate) fn is_release(argument: &clap::Arg) -> bool {
    let names = argument.get_value_names();
    names.is_some_and(|names| names.first().is_some_and(|name| *name == "V"))
}

/// What an argument takes, by its type and by the name that its help gives to it.
fn of_value(argument: &clap::Arg, values: &[&String]) -> Place {
    let possible = argument.get_possible_values();
    if !possible.is_empty() {
        return Place::Known(possible.iter().map(|it| it.get_name().to_owned()).collect());
    }
    let name = argument.get_value_names().and_then(|names| names.first());
    match (argument.get_id().as_str(), name.map(|it| it.as_str())) {
        ("event", _) => Place::Event(values.first().map(|it| (*it).clone()).unwrap_or_default()),
        (_, Some("ACTOR")) => Place::Actor,
        ("plugin", _) => Place::Plugin,
        _ if is_release(argument) => Place::Release,
        _ => Place::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Vec<Place> {
        let mut grammar = Cli::command();
        grammar.build();
        let (before, word) = line.rsplit_once(' ').unwrap_or(("", line));
        let mut places = places(&grammar, &words(before).unwrap(), word);
        places.retain(|it| *it != Place::Known(Vec::new()));
        places
    }

    fn known(line: &str) -> Vec<String> {
        let known = at(line).into_iter().filter_map(|place| match place {
            Place::Known(known) => Some(known),
            _ => None,
        });
        known.flatten().collect()
    }

    #[test]
    fn each_place_has_what_its_command_takes() {
        assert!(known("st").contains(&"status".to_owned()));
        assert!(known("").contains(&"exit".to_owned()));
        assert!(!known("").contains(&"serve".to_owned()), "it is hidden");
        assert!(known("dead-letters ").contains(&"retry".to_owned()));
        assert!(known("upgrade ").contains(&"pause".to_owned()));
        assert!(known("status --j").contains(&"--json".to_owned()));
        assert!(known("completions ").contains(&"zsh".to_owned()));
        for line in ["upgrade ", "upgrade 0"] {
            assert_eq!(at(line)[0], Place::Release, "beside its own commands");
        }
        for line in ["rollback ", "plan ", "rehearse ", "remove "] {
            assert_eq!(at(line), [Place::Release], "{line}");
        }
        assert_eq!(at("state don"), [Place::Actor]);
        assert_eq!(at("trace --count 5 "), [Place::Actor]);
        for line in ["rpc donations:a ", "--json rpc donations:a o"] {
            assert_eq!(at(line), [Place::Event("donations:a".to_owned())]);
        }
        assert_eq!(at("rpc donations:a open "), [Place::Free]);
        assert_eq!(at("actors --plugin "), [Place::Plugin]);
        for line in ["actors --plugin=", "actors --limit 5 --plugin=don"] {
            assert_eq!(at(line), [Place::Plugin], "{line}");
        }
        assert_eq!(at("actors --after=donations:"), [Place::Actor]);
        assert_eq!(at("status --json="), [], "it takes none");
        assert_eq!(at("state --home=/srv don"), [Place::Actor]);
        assert_eq!(at("quarantine release "), [Place::Actor]);
    }
}
