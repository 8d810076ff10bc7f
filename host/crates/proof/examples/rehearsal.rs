//! The child of a rehearsal, alone: it is what `host rehearsal` is to the host, for
//! tests that have no host.

use std::path::PathBuf;

fn main() {
    let Some(images) = std::env::args_os().nth(1).map(PathBuf::from) else {
        std::process::exit(2);
    };
    std::process::exit(host_proof::rehearsal::rehearsal_main(&images))
}
