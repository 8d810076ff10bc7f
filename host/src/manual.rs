//! Completions and man pages, as the grammar of the command line has them.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::aot;
use host_cli::args::{Cli, Shell};
use host_cli::{Failure, Output};
use serde_json::json;

/// `host completions SHELL`
pub(crate) fn completions(shell: Shell, out: &mut Output<'_>) -> Result<u8, Failure> {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Elvish => aot::Shell::Elvish,
        Shell::Fish => aot::Shell::Fish,
        Shell::Zsh => aot::Shell::Zsh,
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut Cli::command(), "host", &mut script);
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
    fn every_shell_completes_every_command() {
        let mut all = Vec::new();
        pages(&Cli::command(), "host", &mut all);
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::Zsh] {
            let mut script = Vec::new();
            completions(shell, &mut Output::new(false, &mut script)).unwrap();
            let script = String::from_utf8(script).unwrap();
            for name in &all {
                let word = name.rsplit('-').next().unwrap();
                assert!(script.contains(word), "{shell:?} does not know {name}");
            }
        }
    }
}
