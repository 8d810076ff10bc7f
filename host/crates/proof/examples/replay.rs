//! The child of a replay, alone: it is what `host replay` is to the host, for tests
//! that have no host. With a file it inspects that, as `host inspect --json` does.

use std::path::PathBuf;

use host_loader::{Inspector, inspect_main};

fn main() {
    if let Some(library) = std::env::args_os().nth(1).map(PathBuf::from) {
        std::process::exit(inspect_main(&library));
    }
    let inspector = Inspector {
        program: std::env::current_exe().unwrap_or_default(),
        args: Vec::new(),
    };
    std::process::exit(host_proof::replay_main(inspector))
}
