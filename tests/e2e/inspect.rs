//! `host inspect`: a library that does its worst while it is opened is refused in the
//! same words as any other.

use std::path::Path;
use std::process::Command;

use e2e::Home;

/// A library whose constructor runs `code`.
fn library(dir: &Path, name: &str, code: &str) -> String {
    let source = dir.join(name).with_extension("c");
    let built = dir.join(name).with_extension("so");
    let text = format!(
        "#include <unistd.h>\n__attribute__((constructor)) static void begin(void) {{ {code} }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&built);
    assert!(compiler.arg(&source).status().unwrap().success());
    built.to_str().unwrap().to_owned()
}

#[test]
fn a_library_that_ends_its_process_is_refused_under_json_too() {
    let home = Home::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, code, how) in [
        ("exits", "_exit(0);", "exit code 0"),
        ("crashes", "*(volatile int *)0 = 0;", "signal 11"),
        ("harmless", "", "host_plugin_entry"),
    ] {
        let file = library(dir.path(), name, code);
        let ran = home.host(&["inspect", "--json", &file]).unwrap();
        let ran = ran.ends_with(1).unwrap();
        assert_eq!(ran.reason().unwrap(), "bad_plugin", "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(how), "{name}: {said}");
    }
}
