//! Records and snapshots: any bytes as they are, and under a right checksum. They
//! never panic.
#![no_main]

use host_journal::pieces::Parts;
use host_journal::sealed::{open_record, open_snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = open_record(bytes);
    let _ = open_snapshot(bytes);
    let _ = Parts::of(bytes);
    let body = [&crc32c::crc32c(bytes).to_le_bytes()[..], bytes].concat();
    let _ = open_snapshot(&body);
});
