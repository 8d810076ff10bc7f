//! What ends a process, or keeps it busy for ever: no host survives it in itself.

use std::hint::{black_box, spin_loop};

/// Bytes that are taken at once. They are not written to: the address space is what runs
/// out first, and the machine of whoever tests this stays usable.
const CHUNK_BYTES: usize = 256 << 20;

#[allow(unsafe_code, reason = "a write to nowhere is what this is for")]
pub(crate) fn segfault() {
    let nowhere = std::ptr::without_provenance_mut::<u8>(black_box(8));
    // SAFETY: there is none. The first page is never mapped, so this is the signal that
    // it is meant to be, and nothing else happens.
    unsafe { nowhere.write_volatile(1) };
}

pub(crate) fn never_end() -> ! {
    loop {
        spin_loop();
    }
}

pub(crate) fn take_all_memory() {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(Vec::<u8>::with_capacity(CHUNK_BYTES)));
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "a plugin that wants the network is what this is for"
)]
pub(crate) fn open_a_socket() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0");
    black_box(socket.is_ok());
}

/// Another number each time.
pub(crate) fn something_else() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
