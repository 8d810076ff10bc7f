//! The prompt: on a terminal as a person types at it, and on a pipe as a script does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::{Home, Talk, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const ENTER: &str = "\r";
const TAB: &str = "\t";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";

fn remote(home: &Home) -> Talk {
    let mut talk = Talk::on_a_terminal(&home.command(&["remote"])).unwrap();
    talk.shows("Ctrl-D leaves").unwrap();
    talk.shows("host> ").unwrap();
    talk
}

fn open(home: &Home, campaign: &str) {
    let facts = json!({"title": "Wells", "currency": "USD", "goal": "1000"});
    let actor = format!("donations:{campaign}");
    home.rpc(&actor, "open", &facts).unwrap();
}

#[test]
fn commands_work_without_host_before_them_and_leaving_leaves_the_host() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    let mut talk = remote(&home);
    // JSON as it is, without a shell's quotes.
    let open = r#"rpc donations:wells open {"title": "Wells", "currency": "USD", "goal": "1000"}"#;
    talk.type_in(&format!("{open}{ENTER}")).unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(&format!("state donations:wells{ENTER}"))
        .unwrap();
    talk.shows("Wells").unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(&format!("host pid{ENTER}")).unwrap();
    talk.shows(&format!("\n{pid}")).unwrap();
    talk.type_in(&format!("help{ENTER}")).unwrap();
    talk.shows("quarantine").unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(&format!("nonsense{ENTER}")).unwrap();
    talk.shows("unrecognized subcommand").unwrap();
    talk.type_in(&format!("remote{ENTER}")).unwrap();
    talk.shows("this is a prompt already").unwrap();
    talk.shows("host> ").unwrap();

    // Another one beside it.
    let mut second = remote(&home);
    second.type_in(&format!("pid{ENTER}")).unwrap();
    second.shows(&format!("\n{pid}")).unwrap();
    second.type_in(&format!("exit{ENTER}")).unwrap();
    assert!(second.end().unwrap().success());
    talk.type_in(CTRL_D).unwrap();
    assert!(talk.end().unwrap().success());

    // One whose terminal is closed goes, too.
    let mut third = remote(&home);
    third.signal(Signal::HUP).unwrap();
    assert!(!third.end().unwrap().success());
    assert_eq!(home.status().unwrap().pid, pid);
    home.stop().unwrap();
}

#[test]
fn ctrl_c_cancels_the_line_or_the_command_and_nothing_else() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    let mut talk = remote(&home);
    talk.type_in(&format!("stop{CTRL_C}")).unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(&format!("trace donations:a{ENTER}")).unwrap();
    talk.shows("tracing donations:a").unwrap();
    open(&home, "a");
    talk.shows("accepted in ").unwrap();
    talk.type_in(CTRL_C).unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(&format!("pid{ENTER}")).unwrap();
    talk.shows(&format!("\n{pid}")).unwrap();
    assert_eq!(home.status().unwrap().pid, pid);
}

#[test]
fn what_is_no_text_ends_neither_the_prompt_nor_the_host_of_a_console() {
    let home = Home::new().unwrap();
    let mut talk = Talk::on_a_terminal(&home.command(&["console"])).unwrap();
    talk.shows("host> ").unwrap();
    let pid = home.status().unwrap().pid;
    // The u of Munich, in Latin-1.
    talk.type_bytes(b"rpc donations:a open M\xfcnchen\r")
        .unwrap();
    talk.shows("it is no text in UTF-8").unwrap();
    talk.type_in(&format!("pid{ENTER}")).unwrap();
    talk.shows(&format!("\n{pid}")).unwrap();
    assert_eq!(home.status().unwrap().pid, pid);
    talk.type_in(CTRL_D).unwrap();
    assert!(talk.end().unwrap().success());
}

#[test]
fn tab_completes_commands_options_releases_actors_and_events() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    open(&home, "ramadan-2026");
    open(&home, "wells");
    let mut talk = remote(&home);
    let mut completes = |typed: &str, to: &str| {
        talk.type_in(&format!("{typed}{TAB}")).unwrap();
        talk.shows(to).unwrap_or_else(|e| panic!("{typed}: {e:#}"));
        talk.type_in(CTRL_C).unwrap();
        talk.shows("host> ").unwrap();
    };
    completes("quar", "quarantine ");
    completes("dead-letters ret", "dead-letters retry ");
    completes("status --js", "status --json ");
    completes("plan 0.2", "plan 0.2.0 ");
    completes("state don", "state donations:");
    completes("state donations:r", "state donations:ramadan-2026 ");
    completes("rpc donations:wells don", "rpc donations:wells donate ");
    // Several are shown.
    completes("state donations:\t", "donations:wells");
    let mut talk = remote(&home);
    talk.type_in(&format!("upgrade {TAB}{TAB}")).unwrap();
    talk.shows("0.3.0").unwrap();
    talk.shows("resume").unwrap();
}

#[test]
fn what_was_typed_is_there_again_for_its_owner_alone() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    let mut talk = remote(&home);
    talk.type_in(&format!("pid{ENTER}")).unwrap();
    talk.shows("host> ").unwrap();
    // One that begins with a blank is not kept.
    talk.type_in(&format!(" version{ENTER}")).unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(CTRL_D).unwrap();
    talk.end().unwrap();
    let file = home.path().join("data/prompt.history");
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(
        kept.contains("pid\n") && !kept.contains("version"),
        "{kept}"
    );

    let mut talk = remote(&home);
    talk.type_in(&format!("{UP}{ENTER}")).unwrap();
    talk.shows(&format!("\n{pid}")).unwrap();
}

#[test]
fn a_host_that_goes_and_comes_is_told_and_spoken_to_again() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let mut talk = remote(&home);
    home.done(&["restart"]).unwrap();
    let new = home.status().unwrap().pid;
    talk.shows("the host is gone").unwrap();
    talk.shows(&format!("a host is here: process {new}"))
        .unwrap();
    talk.type_in(&format!("pid{ENTER}")).unwrap();
    talk.shows(&format!("\n{new}")).unwrap();
    home.stop().unwrap();
    talk.shows("the host is gone").unwrap();
    talk.type_in(&format!("status{ENTER}")).unwrap();
    talk.shows("start one with `host start`").unwrap();
    // It can be started from here, and outlives this.
    talk.type_in(&format!("start{ENTER}")).unwrap();
    talk.shows("is ready: process").unwrap();
    talk.shows("host> ").unwrap();
    talk.type_in(CTRL_D).unwrap();
    assert!(talk.end().unwrap().success());
    home.stop().unwrap();
}

#[test]
fn a_script_reads_one_document_a_line_and_the_last_failure() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    let run = |text: &str, more: &[&str]| {
        let line = [&["remote"], more].concat();
        let mut talk = Talk::piped(home.command(&line)).unwrap();
        talk.type_in(text).unwrap();
        talk.end_of_input();
        let code = talk.end().unwrap().code();
        (code, talk.all())
    };
    let (code, said) = run("pid\n\n# a remark\nreleases\n", &["--json"]);
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert_eq!(lines[0], json!({"pid": pid}));
    // It goes on behind a failure, and tells of it at the end.
    let (code, said) = run("plan 9.9.9\nnonsense\nplan 9.9.9\npid", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with(&format!("{pid}\n")), "{said}");
    let (code, said) = run("rpc donations:a open {\"title\n", &["--json"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("\"reason\":\"usage\""), "{said}");
    let garbage = home.path().join("garbage");
    std::fs::write(&garbage, b"\xff\npid\n").unwrap();
    let mut script = home.command(&["remote"]);
    script.stdin(std::fs::File::open(garbage).unwrap());
    let ran = script.output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert_eq!(ran.stdout, format!("{pid}\n").into_bytes());
    assert!(String::from_utf8_lossy(&ran.stderr).contains("no text in UTF-8"));
    let (code, said) = run("pid\nexit\nnonsense\n", &[]);
    assert_eq!((code, said), (Some(0), format!("{pid}\n")));
    home.stop().unwrap();
    // Where none runs, that is said before anything is read: nothing is to be done as well.
    for text in ["status\n", "", "version\n"] {
        let (code, said) = run(text, &["--json"]);
        assert_eq!(code, Some(3), "{text:?}: {said}");
        let told: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(told["reason"], "not_running", "{said}");
    }
}

/// A host is no child of a test, so the test looks whether its process is there.
fn is_gone(pid: u32) {
    wait::until("the host of the console has ended", || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    })
    .unwrap();
}

fn console(home: &Home) -> Talk {
    let mut talk = Talk::on_a_terminal(&home.command(&["console"])).unwrap();
    talk.shows("the host is ready").unwrap();
    talk.shows("host> ").unwrap();
    talk
}

#[test]
fn a_console_is_a_host_with_a_prompt_and_ends_with_it() {
    let home = Home::new().unwrap();
    let mut talk = console(&home);
    let pid = home.status().unwrap().pid;
    talk.type_in(&format!("pid{ENTER}")).unwrap();
    talk.shows(&format!("\n{pid}")).unwrap();
    // What runs at the prompt is cancelled, and the host is not.
    talk.type_in(&format!("logs -f{ENTER}")).unwrap();
    talk.type_in(CTRL_C).unwrap();
    talk.type_in(CTRL_C).unwrap();
    let second = home.host(&["start"]).unwrap().ends_with(1).unwrap();
    assert!(
        second.stderr.contains("it runs already"),
        "{}",
        second.stderr
    );
    assert_eq!(home.status().unwrap().pid, pid);
    talk.type_in(CTRL_D).unwrap();
    assert!(talk.end().unwrap().success());
    is_gone(pid);
    assert!(
        talk.all().contains("the host has stopped"),
        "{}",
        talk.all()
    );

    // The host's end is the console's, too.
    let mut talk = console(&home);
    home.stop().unwrap();
    talk.shows("the host has ended, and this console with it")
        .unwrap();
    assert!(talk.end().unwrap().success());

    // And so is the end of its terminal, or a kill.
    for signal in [Signal::HUP, Signal::KILL] {
        let mut talk = console(&home);
        let pid = home.status().unwrap().pid;
        talk.signal(signal).unwrap();
        talk.end().unwrap();
        is_gone(pid);
    }
}

#[test]
fn a_console_on_a_pipe_runs_a_script_on_a_host_of_its_own() {
    let home = Home::new().unwrap();
    let mut talk = Talk::piped(home.command(&["console"])).unwrap();
    talk.type_in("status --json\nplan 9.9.9\n").unwrap();
    talk.end_of_input();
    assert_eq!(talk.end().unwrap().code(), Some(1), "{}", talk.all());
    assert!(talk.all().contains("\"ready\":true"), "{}", talk.all());
    home.host(&["status"]).unwrap().ends_with(3).unwrap();
    home.configure("PORT=none").unwrap();
    let ran = home.host(&["console"]).unwrap().ends_with(1).unwrap();
    assert!(ran.stderr.contains("PORT"), "{}", ran.stderr);
}
