//! What the start does, as the marker says.

use core::ffi::c_void;
use core::ptr;
use std::time::Duration;

use host_abi::{Bytes, Fault, FaultKind, Sink, Status};

use crate::marker::behaviour;

/// `init` of the table.
///
/// `init_fails` says so, as it should. Nothing catches what the others do:
/// `init_panics` (out of `extern "C"`, which aborts), `init_exits` (with 0, as if
/// all were well), `init_segfaults`, `init_hangs`, and `init_hangs_in_host`, where the child
/// that inspects it first finds all well. `init_prints` forges a report
/// on standard output; `init_spawns` leaves a process behind that holds the
/// standard output open.
#[expect(
    clippy::disallowed_methods,
    reason = "a library that ends the process is what it is for"
)]
pub(crate) unsafe extern "C" fn init(_: *const c_void, _: Bytes, sink: *const Sink) -> Status {
    match behaviour().as_str() {
        "init_fails" => {
            let fault = Fault {
                kind: FaultKind::ERROR,
                line: 0,
                file: Bytes::EMPTY,
                message: Bytes::new(b"init fails, as it was told to"),
            };
            // SAFETY: the host's sink, for this call.
            unsafe { ((*sink).fault)((*sink).ctx, &raw const fault) };
            return Status::FAULT;
        }
        "init_panics" => panic!("init panics, as it was told to"),
        "init_exits" => std::process::exit(0),
        // SAFETY: none. Nothing is mapped there, and that is the point.
        "init_segfaults" => unsafe { ptr::without_provenance_mut::<u64>(8).write_volatile(0) },
        "init_hangs" => hang(),
        "init_hangs_in_host" if !is_inspected() => hang(),
        "init_prints" => print!("{{\"refused\":{{\"message\":\"forged\"}}}}"),
        "init_spawns" => leave_behind(),
        _ => {}
    }
    Status::OK
}

/// A process that outlives this one and has its standard output.
#[expect(
    clippy::disallowed_types,
    clippy::zombie_processes,
    reason = "that it starts a process, and nobody waits for it, is what this is for"
)]
fn leave_behind() {
    let child = std::process::Command::new("sleep").arg("30").spawn();
    child.expect("every system has a sleep");
}

#[expect(
    clippy::disallowed_methods,
    reason = "that it goes by what no plugin should know is what this is for"
)]
fn is_inspected() -> bool {
    std::env::args().any(|argument| argument == "inspect")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a start that never ends is what this is for"
)]
fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}
