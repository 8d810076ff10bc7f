//! The walk in `docs/operate.md`, as a new operator goes it: with the commands that stand
//! there and nothing else, from packages in an empty folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::Home;
use e2e::package::pack;

/// The lines of the shell between two headings of the guide.
fn commands(from: &str, to: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate.md");
    let guide = fs::read_to_string(guide).unwrap();
    let (_, behind) = guide.split_once(from).unwrap();
    let (walk, _) = behind.split_once(to).unwrap();
    let blocks = walk.split("```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split_once("```").unwrap().0);
    blocks.collect()
}

#[test]
fn the_guide_is_walked_from_an_empty_folder_to_a_restored_backup() {
    let home = Home::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for version in ["0.1.0", "0.2.0"] {
        pack(&home.path().join("releases").join(version), folder.path()).unwrap();
    }
    let commands = commands(
        "## From an empty folder",
        "### A hot upgrade, or blue and green",
    );
    assert!(commands.lines().count() > 25, "{commands}");
    let mut shell = Command::new("sh");
    shell.args(["-exc", &commands]).current_dir(folder.path());
    // What a test's machine is, and an operator's is not.
    for (name, value) in [
        ("HOST_ALLOW_ROOT", "yes"),
        ("HOST_ALLOW_DEBUG", "yes"),
        ("HOST", "localhost"),
        ("PORT", "0"),
        ("ADMIN_PORT", "0"),
    ] {
        shell.env(name, value);
    }
    let walked = shell.env_remove("HOST_HOME").output().unwrap();
    let said = String::from_utf8_lossy(&walked.stdout);
    let why = String::from_utf8_lossy(&walked.stderr);
    assert!(walked.status.success(), "{said}\n{why}");
    let seen: Vec<_> = said
        .lines()
        .filter(|line| line.contains("\"25.00\""))
        .collect();
    assert!(
        seen.len() >= 2,
        "before and behind the backup: {said}\n{why}"
    );
}
