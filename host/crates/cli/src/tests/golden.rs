//! What the command line says, word by word, in the files of `golden`: a change of it
//! is seen in the diff. `UPDATE_GOLDEN=1 cargo test -p host-cli golden` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory;

use super::{REPORT, answer};
use crate::args::Cli;
use crate::show;

/// Holds `found` against the file `name`, or writes it there.
fn hold(name: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let file = folder.join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        return std::fs::write(&file, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = wanted.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert!(
        wanted == found,
        "{name} is not what is said now ({differs:?} first); if that is meant, write it anew \
         with `UPDATE_GOLDEN=1 cargo test -p host-cli golden`"
    );
}

#[test]
fn the_help_of_every_command() {
    fn tell(command: &clap::Command, line: &str, all: &mut String) {
        let mut shown = command.clone().bin_name(line);
        let help = shown.render_long_help();
        write!(all, "$ {line} --help\n{help}\n").unwrap();
        for inner in command.get_subcommands() {
            if !inner.is_hide_set() && inner.get_name() != "help" {
                tell(inner, &format!("{line} {}", inner.get_name()), all);
            }
        }
    }
    // Options that hold everywhere are shown everywhere.
    let mut command = Cli::command().version("VERSION");
    command.build();
    let mut all = String::new();
    tell(&command, "host", &mut all);
    hold("help.txt", &all);
}

#[test]
fn what_is_said_of_a_line_that_makes_no_sense() {
    use clap::Parser;
    let mut all = String::new();
    for line in [
        "host nonsense",
        "host statsu",
        "host upgrade",
        "host upgrade two",
        "host plan 0.3",
        "host upgrade 0.2.0 --canary 50",
        "host upgrade 0.2.0 --deadline 48h",
        "host upgrade 0.2.0 --probation 30",
        "host upgrade 0.2.0 --canry 5%",
        "host rehearse 0.2.0 --sample 0",
        "host rpc nobody open",
        "host rpc zakat:a open [1]",
        "host dead-letters drop x",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        write!(all, "$ {line}\n{error}\n").unwrap();
    }
    hold("usage.txt", &all);
}

#[tokio::test]
async fn what_commands_answer() {
    let status = serde_json::to_string(&show::tests::sample()).unwrap();
    let releases = r#"[
        {"version":"0.1.0","status":"permanent","plugins":[{"name":"donations","version":"0.1.0"},{"name":"zakat","version":"0.1.0"}],"broken":null},
        {"version":"0.2.0","status":"failed","plugins":[{"name":"donations","version":"0.2.0"},{"name":"zakat","version":"0.2.0"}],"broken":null},
        {"version":"0.3.0","status":"unpacked","plugins":[],"broken":"read releases/0.3.0/manifest.json: it is no regular file; install the release again"}]"#;
    let ended = |outcome: &str, more: &str| {
        format!("data: {{\"kind\":\"ended\",{REPORT},\"outcome\":\"{outcome}\"{more}}}\n\n")
    };
    let history = format!(
        "[{{\"id\":2,{REPORT},\"outcome\":\"failed\",\"reason\":\"the host ended in the middle of it\"}},{{\"id\":1,{REPORT},\"outcome\":\"committed\"}}]"
    );
    let problem = r#"{"reason":"busy","message":"an upgrade from 0.1.0 to 0.2.0 is under way (probation); wait for it, or say `host commit` or `host rollback`","exit_code":1}"#;
    let why = r#","reason":"donations:a could not come over from 0.1.0 to 0.2.0: it is too old""#;
    let mut all = String::new();
    for (line, code, body) in [
        ("host status", 200, status),
        ("host releases", 200, releases.to_owned()),
        ("host history", 200, history),
        ("host upgrade 0.2.0", 200, ended("committed", "")),
        ("host upgrade 0.2.0", 200, ended("rolled_back", why)),
        ("host upgrade 0.2.0", 200, ended("failed", why)),
        ("host upgrade 0.2.0", 200, ended("stuck", why)),
        ("host upgrade 0.3.0", 409, problem.to_owned()),
        ("host rollback", 200, ended("rolled_back", why)),
        ("host commit", 200, ended("committed", "")),
    ] {
        for json in [false, true] {
            let (ended, text) = answer(line, json, code, body.clone()).await;
            let shown = if json { " --json" } else { "" };
            write!(all, "$ {line}{shown}\n{text}").unwrap();
            match ended {
                Ok(code) => writeln!(all, "[{code}]\n").unwrap(),
                Err(failure) => {
                    writeln!(all, "error: {failure}\n[{}]\n", failure.exit_code()).unwrap();
                }
            }
        }
    }
    hold("transcripts.txt", &all);
}
