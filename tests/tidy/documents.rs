//! What documents list is what the code has: paths, settings, reasons, targets.

use crate::{none, tree};

/// The part of a file from `start` to the next line that is `end`.
#[track_caller]
fn part(path: &str, start: &str, end: &str) -> String {
    let text = tree::read(path);
    let lines = text.lines().skip_while(|line| !line.contains(start));
    let part: Vec<&str> = lines.take_while(|line| *line != end).collect();
    assert!(part.len() > 1, "{path} has no {start:?} any more");
    part.join("\n")
}

/// The texts in quotes.
fn quoted(code: &str) -> Vec<&str> {
    code.split('"').skip(1).step_by(2).collect()
}

/// Those of `words` that `document` does not have, at the start of a word at least.
fn missing(document: &str, words: &[&str]) -> Vec<String> {
    assert!(words.len() > 3, "too few to be all: {words:?}");
    let text = tree::read(document);
    let is_missing = |word: &&&str| {
        !text
            .match_indices(**word)
            .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let missing = words.iter().filter(is_missing);
    missing.map(|word| format!("{document}: {word}")).collect()
}

#[test]
fn every_path_of_the_control_api_is_described() {
    let routes = part("host/crates/control/src/server.rs", "fn router(", "}");
    let paths: Vec<&str> = quoted(&routes);
    let mut findings = missing("docs/control-api.md", &paths);
    findings.extend(missing("host/crates/model/src/control.rs", &paths));
    none(&findings, "describe it");
}

#[test]
fn every_setting_is_described() {
    let keys = part("host/src/settings.rs", "const KEYS", "];");
    none(&missing("docs/operate.md", &quoted(&keys)), "describe it");
}

#[test]
fn every_metric_is_described() {
    let metrics = part("host/crates/control/src/metrics.rs", "const METRICS", "];");
    let is_name = |text: &&str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let names = quoted(&metrics).into_iter().filter(is_name);
    let names: Vec<String> = names.map(|name| format!("host_{name}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    none(&missing("docs/operate.md", &names), "describe it");
}

#[test]
fn every_reason_is_described() {
    let file = "host/crates/actors/src/message.rs";
    let calls = part(file, "pub fn reason(&self)", "    }");
    let mut findings = missing("docs/protocol.md", &quoted(&calls));
    let file = "host/crates/upgrade/src/refused.rs";
    let upgrades = part(file, "pub fn reason(&self)", "    }");
    findings.extend(missing("docs/control-api.md", &quoted(&upgrades)));
    none(&findings, "describe it");
}

#[test]
fn every_target_that_documents_name_is_made() {
    let makefile = tree::read("Makefile");
    let targets: Vec<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', ' ', '#', '.']))
        .filter_map(|line| Some(line.split_once(':')?.0))
        .flat_map(str::split_whitespace)
        .collect();
    let mut findings = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "docs/plugins.md"] {
        let text = tree::read(document);
        let commands = text
            .match_indices("make ")
            .filter(|(at, _)| text[..*at].ends_with(['`', '\n']));
        for (at, command) in commands {
            let rest = &text[at + command.len()..];
            let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
            let target = rest.split(|c| !is_word(c)).next().unwrap_or_default();
            if !targets.contains(&target) {
                findings.push(format!("{document}: make {target}"));
            }
        }
    }
    none(&findings, "make it, or take it out of the document");
}
