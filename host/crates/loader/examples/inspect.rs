//! The child that inspects a library, alone: `inspect FILE.so`.
//!
//! It is what `host inspect --json` is to the host, for tests that have no host.

use std::path::PathBuf;

fn main() {
    let Some(library) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: inspect FILE.so");
        std::process::exit(2);
    };
    std::process::exit(host_loader::inspect_main(&library))
}
