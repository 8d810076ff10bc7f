//! Appups that are right, and what is said of those that are not.

use super::*;

const DONATIONS: &str = r#"
plugin = "donations"
version = "0.2.0"
depends_on = ["zakat"]

[[path]]
from = "~0.1"
up   = [{ run = "before" }, { update = "state", timeout_ms = 5000 }, { run = "after" }]
down = [{ update = "state" }]
declared = ["summary.funds", "summary.donors"]
pause_budget_ms = 100

[probation]
window_s = 60
min_calls = 100
max_fault_rate = 0.001
max_p99_ratio = 2.0
"#;

const FILE: &str = "donations-0.2.0.toml";

fn run(hook: &str) -> Instruction {
    Instruction::Run {
        hook: hook.to_owned(),
        timeout_ms: 5_000,
    }
}

const UPDATE: Instruction = Instruction::Update {
    timeout_ms: 5_000,
    suspend: false,
};

/// The instructions of a path with this `up`.
fn up(way: &str) -> Result<Vec<Instruction>, InvalidAppup> {
    let text =
        format!("plugin = \"p\"\nversion = \"0.2.0\"\n[[path]]\nfrom = \"~0.1\"\nup = [{way}]\n");
    Appup::parse("p-0.2.0.toml", &text).map(|appup| appup.paths[0].up.clone())
}

#[test]
fn the_documented_appup_is_read() {
    let appup = Appup::parse(FILE, DONATIONS).unwrap();
    let path = appup.path(&Version::new(0, 1, 7)).unwrap();
    assert_eq!(path.up, [run("before"), UPDATE, run("after")]);
    assert_eq!(path.down, [UPDATE]);
    assert_eq!(path.declared, ["summary.funds", "summary.donors"]);
    assert!(appup.path(&Version::new(0, 2, 0)).is_none());
    assert!(appup.addition().is_none());
    assert_eq!(appup.depends_on, ["zakat"]);
    assert_eq!(appup.probation, Probation::default());
}

#[test]
fn every_instruction_is_read_with_what_it_takes() {
    for (way, instructions) in [
        ("{ load = \"code\" }", vec![Instruction::Load]),
        ("{ restart = \"plugin\" }", vec![Instruction::Restart]),
        (
            "{ restart_host = true }, { update = \"state\" }",
            vec![Instruction::RestartHost, UPDATE],
        ),
        (
            "{ update = \"state\", timeout_ms = 70, suspend = true }",
            vec![Instruction::Update {
                timeout_ms: 70,
                suspend: true,
            }],
        ),
        (
            "{ load = \"code\" }, { run = \"warm\", timeout_ms = 0x10 }",
            vec![
                Instruction::Load,
                Instruction::Run {
                    hook: "warm".to_owned(),
                    timeout_ms: 16,
                },
            ],
        ),
    ] {
        assert_eq!(up(way).unwrap(), instructions, "{way}");
    }
}

#[test]
fn a_plugin_comes_and_goes_by_a_path_without_a_from() {
    let text = r#"
plugin = "audit"
version = "0.1.0"

[[path]]
up   = [{ add = "plugin" }, { run = "fill" }]
down = [{ run = "empty" }, { remove = "plugin" }]
"#;
    let appup = Appup::parse("audit-0.1.0.toml", text).unwrap();
    let addition = appup.addition().unwrap();
    assert_eq!(addition.up, [Instruction::Add, run("fill")]);
    assert_eq!(addition.down, [run("empty"), Instruction::Remove]);
    assert!(appup.path(&Version::new(0, 0, 9)).is_none());
}

#[test]
fn what_is_wrong_is_said_with_file_line_and_what_is_right() {
    for (from, to, line, words) in [
        (
            "\"donations\"",
            "\"Donations\"",
            2,
            "plugin = \"Donations\", which is no plugin's name",
        ),
        (
            "\"0.2.0\"",
            "\"0.3.0\"",
            2,
            "should be called donations-0.3.0.toml",
        ),
        (
            "\"0.2.0\"",
            "2",
            3,
            "version = 2, which is no version; write it as \"0.2.0\"",
        ),
        ("version = \"0.2.0\"", "", 1, "write version = \"0.2.0\""),
        (
            "[\"zakat\"]",
            "\"zakat\"",
            4,
            "depends_on = \"zakat\", which is no list of texts",
        ),
        ("[\"zakat\"]", "[\"donations\"]", 4, "depends on itself"),
        ("depends_on", "depend_on", 4, "did you mean `depends_on`?"),
        (
            "~0.1",
            "0.1.x.y",
            7,
            "requirement on versions; write it as in Cargo.toml",
        ),
        ("from = \"~0.1\"", "", 6, "write from = \"~0.1\""),
        ("up   =", "upp =", 8, "did you mean `up`?"),
        (
            "{ run = \"before\" }",
            "{ runn = \"before\" }",
            8,
            "`runn` is no instruction; did you mean `run`?",
        ),
        (
            "{ run = \"before\" }",
            "{ transmogrify = 1 }",
            8,
            "`transmogrify` is no instruction; there are: update, load",
        ),
        (
            "{ run = \"before\" }",
            "{ run = 7 }",
            8,
            "run = 7, which is not known; write run = \"NAME OF A HOOK\"",
        ),
        ("{ run = \"before\" }", "{}", 8, "an instruction is missing"),
        (
            "{ run = \"before\" }",
            "{ run = \"a\", load = \"code\" }",
            8,
            "write each in braces of its own",
        ),
        (
            "{ run = \"before\" }",
            "{ run = \"a\", suspend = true }",
            8,
            "run takes no suspend; it belongs to update",
        ),
        (
            "{ run = \"before\" }",
            "{ load = \"code\" }",
            8,
            "up says load and update; a state crosses once",
        ),
        (
            "{ run = \"before\" }",
            "{ add = \"plugin\" }",
            8,
            "up says add and update",
        ),
        (
            "{ run = \"before\" }",
            "\"run\"",
            8,
            "which is no instruction",
        ),
        (
            "update = \"state\", timeout_ms = 5000",
            "update = \"everything\"",
            8,
            "write update = \"state\"",
        ),
        (
            "5000",
            "0",
            8,
            "timeout_ms = 0, which is no number of milliseconds from 1 to 3600000",
        ),
        (
            "5000",
            "\"5s\"",
            8,
            "timeout_ms = \"5s\", which is no number of milliseconds",
        ),
        ("5000", "5000, suspend = 1", 8, "write true or false"),
        (
            "[{ update = \"state\" }]",
            "[{ run = \"x\" }]",
            9,
            "down does not say how the state crosses",
        ),
        (
            "[{ update = \"state\" }]",
            "[]",
            9,
            "down is empty, so there is no way back",
        ),
        (
            "[{ update = \"state\" }]",
            "[{ restart = \"plugin\" }, { restart = \"plugin\" }]",
            9,
            "restart twice",
        ),
        (
            "[{ update = \"state\" }]",
            "[{ remove = \"plugin\" }]",
            6,
            "one of its ways only",
        ),
        ("declared", "declarde", 10, "did you mean `declared`?"),
        (
            "max_fault_rate = 0.001",
            "max_fault_rate = \"low\"",
            16,
            "[probation]",
        ),
        ("min_calls", "minimum_calls", 15, "minimum_calls"),
        (
            "max_fault_rate = 0.001",
            "max_fault_rate = nan",
            16,
            "max_fault_rate = nan, which is no rate from 0 to 1",
        ),
        (
            "max_fault_rate = 0.001",
            "max_rejection_rate = -0.1",
            16,
            "max_rejection_rate = -0.1, which is no rate",
        ),
        (
            "max_p99_ratio = 2.0",
            "max_p99_ratio = inf",
            17,
            "max_p99_ratio = inf, which is no number from 1 on",
        ),
        ("[probation]", "[probation", 13, ""),
        (
            "\"summary.donors\"",
            "\"\"",
            10,
            "declared has \"\", which names no field; name one, as in",
        ),
        (
            "~0.1",
            ">0.3, <0.2",
            7,
            "from = \">0.3, <0.2\", which is no requirement that a version before 0.2.0 can meet; write",
        ),
        ("~0.1", "~0.2", 7, "that a version before 0.2.0 can meet"),
        ("~0.1", "=0.1.3, =0.1.4", 7, "that a version before"),
    ] {
        let text = DONATIONS.replacen(from, to, 1);
        assert_ne!(text, DONATIONS, "{from}");
        let error = Appup::parse(FILE, &text).unwrap_err();
        let problem = error
            .problems
            .iter()
            .find(|problem| problem.text.contains(words))
            .unwrap_or_else(|| panic!("{words:?} is not in {error}"));
        assert_eq!(problem.line, line, "{problem:?}");
        assert!(error.to_string().contains(&format!("{FILE}:{line}: ")));
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_in_the_order_of_the_lines() {
    let text = DONATIONS
        .replace("\"state\", timeout", "\"stat\", timeout")
        .replace("~0.1", "about 0.1")
        .replace("100\n\n", "-1\n\n");
    let error = Appup::parse(FILE, &text).unwrap_err();
    let lines: Vec<usize> = error.problems.iter().map(|it| it.line).collect();
    assert_eq!(lines, [7, 8, 11], "{error}");
    assert_eq!(error.to_string().lines().count(), 3);
}

#[test]
fn two_faults_in_probation_are_said_at_once() {
    let text = DONATIONS
        .replace("min_calls = 100", "min_calls = \"many\"")
        .replace("max_fault_rate = 0.001", "max_fault_rate = 7")
        .replace("max_p99_ratio", "max_p98_ratio");
    let error = Appup::parse(FILE, &text).unwrap_err();
    let lines: Vec<usize> = error.problems.iter().map(|it| it.line).collect();
    assert_eq!(lines, [15, 16, 17], "{error}");
    let told = error.to_string();
    for words in [
        "[probation] min_calls = \"many\", which is no whole number",
        "[probation] max_fault_rate = 7, which is no rate from 0 to 1",
        "did you mean `max_p99_ratio`?",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_path_that_is_never_taken_is_told_of() {
    let parse = |froms: &[&str]| {
        let path =
            |from: &&str| format!("[[path]]\nfrom = \"{from}\"\nup = [{{ update = \"state\" }}]\n");
        let paths: String = froms.iter().map(path).collect();
        let text = format!("plugin = \"p\"\nversion = \"0.3.0\"\n{paths}");
        Appup::parse("p-0.3.0.toml", &text)
    };
    for froms in [
        &["~0.1", "=0.1.3"][..],
        &["*", "~0.2"],
        &["~0.1", "~0.1"],
        &["<0.2", ">=0.2", "~0.1"],
        &["<0.1", ">=0.1.0, <0.2", "<0.2"],
    ] {
        let error = parse(froms).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        assert_eq!(error.problems[0].line, 3 * froms.len() + 1, "{error}");
        let words = "match all that it does; put it before them";
        assert!(error.to_string().contains(words), "{error}");
    }
    // Side by side, a special one first, or one that is taken for some.
    for froms in [
        ["~0.1", "~0.2"],
        ["<0.2", ">=0.2"],
        ["=0.1.3", "~0.1"],
        ["=0.1.3", ">=0.1.3, <0.2"],
        ["~0.1", ">=0.1.4"],
        ["<0.2", "<0.2.1"],
        ["<0.1.0", "<0.1.0-rc"],
    ] {
        parse(&froms).unwrap();
    }
}
