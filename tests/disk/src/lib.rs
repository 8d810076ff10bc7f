//! A disk that fails when it is told to.
//!
//! Preloaded (`LD_PRELOAD`), it stands between a process and the C library's `write`,
//! `pwrite`, `fsync`, `fdatasync` and `ftruncate`. Calls on files of the embedded store, on
//! a backup and on copies of plugins, are looked up in the rules of a file that
//! `DISK_FAULTS` names, anew for each call; all others go through. Each call that a rule strikes is a line in the file that
//! `DISK_FAULTS_LOG` names, `PID CALL FILE WHAT`: who tests sees there that the library
//! is really loaded, and in which process. The rules are in [`rules`].

#![allow(
    unsafe_code,
    reason = "functions of the C library are replaced, and the next ones called"
)]

mod rules;

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;

use rules::{Call, Strike};

/// Numbers of the C library on Linux, the same on all processors.
const EIO: c_int = 5;
const ENOSPC: c_int = 28;
const SIGKILL: c_int = 9;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    fn getpid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
}

type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type WriteAt = unsafe extern "C" fn(c_int, *const c_void, usize, c_long) -> isize;
type Sync = unsafe extern "C" fn(c_int) -> c_int;
type Truncate = unsafe extern "C" fn(c_int, c_long) -> c_int;

/// The function behind this library's own.
fn next(place: &OnceLock<usize>, name: &CStr) -> *mut c_void {
    let address = place.get_or_init(|| {
        // RTLD_NEXT of dlsym(3).
        let next = std::ptr::without_provenance_mut(usize::MAX);
        // SAFETY: the name ends with a zero; the C library has all that is asked for.
        let found = unsafe { dlsym(next, name.as_ptr()) };
        assert!(!found.is_null(), "the C library has no {name:?}");
        found.expose_provenance()
    });
    std::ptr::with_exposed_provenance_mut(*address)
}

/// What strikes this call, if anything does. A stall is over when it returns.
fn strike(call: Call, fd: c_int, bytes: &[u8]) -> Option<Strike> {
    // A pipe or a socket has a name that is no path, and never one of these.
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
    let file = path.file_name()?.to_str()?;
    let is_plugin = path.extension().is_some_and(|it| it == "so");
    let is_ours = ["host.db", "backup.db", "host.log"]
        .iter()
        .any(|it| file.starts_with(it));
    if !is_ours && !is_plugin {
        return None;
    }
    let strike = rules::strike(call, file, bytes)?;
    tell(call, file, strike);
    match strike {
        Strike::Stall(time) => {
            thread::sleep(time);
            None
        }
        Strike::Kill => {
            // SAFETY: two numbers; it does not return.
            unsafe { kill(getpid(), SIGKILL) };
            None
        }
        strike => Some(strike),
    }
}

/// One line in the log. It is written in one piece, whoever else writes.
fn tell(call: Call, file: &str, strike: Strike) {
    let Some(log) = std::env::var_os("DISK_FAULTS_LOG").map(PathBuf::from) else {
        return;
    };
    let line = format!("{} {call:?} {file} {strike:?}\n", std::process::id());
    let open = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log);
    // A test that finds no line fails.
    let _ = open.and_then(|mut log| log.write_all(line.as_bytes()));
}

/// Sets `errno`, and gives what a call that failed returns.
fn fail<T: From<i8>>(strike: Strike) -> T {
    let errno = match strike {
        Strike::NoSpace => ENOSPC,
        _ => EIO,
    };
    // SAFETY: the C library gives the place of this thread's number.
    unsafe { *__errno_location() = errno };
    T::from(-1)
}

/// What a call writes.
///
/// # Safety
///
/// As `write(2)` has it: `bytes` points to so many, which stay until it returns.
unsafe fn written<'a>(bytes: *const c_void, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(bytes.cast(), length) }
}

/// Half of a write.
fn half(length: usize) -> usize {
    length / 2
}

/// As `write(2)`.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, length: usize) -> isize {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: this is the signature of write(2).
    let next = unsafe { std::mem::transmute::<*mut c_void, Write>(next(&NEXT, c"write")) };
    // SAFETY: the caller's promise.
    match strike(Call::Write, fd, unsafe { written(bytes, length) }) {
        // SAFETY: the caller's promise, for less.
        Some(Strike::Short) => unsafe { next(fd, bytes, half(length)) },
        Some(strike) => fail::<isize>(strike),
        // SAFETY: the caller's promise.
        None => unsafe { next(fd, bytes, length) },
    }
}

/// As `pwrite(2)`.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    length: usize,
    at: c_long,
) -> isize {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: this is the signature of pwrite(2).
    let next = unsafe { std::mem::transmute::<*mut c_void, WriteAt>(next(&NEXT, c"pwrite")) };
    // SAFETY: the caller's promise.
    match strike(Call::Write, fd, unsafe { written(bytes, length) }) {
        // SAFETY: the caller's promise, for less.
        Some(Strike::Short) => unsafe { next(fd, bytes, half(length), at) },
        Some(strike) => fail::<isize>(strike),
        // SAFETY: the caller's promise.
        None => unsafe { next(fd, bytes, length, at) },
    }
}

/// As `pwrite(2)`, by the name that it has for large files.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    length: usize,
    at: c_long,
) -> isize {
    // SAFETY: where `long` has 64 bits the two are one.
    unsafe { pwrite(fd, bytes, length, at) }
}

/// As `fsync(2)`.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: this is the signature of fsync(2).
    let next = unsafe { std::mem::transmute::<*mut c_void, Sync>(next(&NEXT, c"fsync")) };
    match strike(Call::Sync, fd, &[]) {
        Some(strike) => fail::<c_int>(strike),
        // SAFETY: the caller's promise.
        None => unsafe { next(fd) },
    }
}

/// As `fdatasync(2)`.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: this is the signature of fdatasync(2).
    let next = unsafe { std::mem::transmute::<*mut c_void, Sync>(next(&NEXT, c"fdatasync")) };
    match strike(Call::Sync, fd, &[]) {
        Some(strike) => fail::<c_int>(strike),
        // SAFETY: the caller's promise.
        None => unsafe { next(fd) },
    }
}

/// As `ftruncate(2)`.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn ftruncate(fd: c_int, length: c_long) -> c_int {
    static NEXT: OnceLock<usize> = OnceLock::new();
    // SAFETY: this is the signature of ftruncate(2).
    let next = unsafe { std::mem::transmute::<*mut c_void, Truncate>(next(&NEXT, c"ftruncate")) };
    match strike(Call::Truncate, fd, &[]) {
        Some(strike) => fail::<c_int>(strike),
        // SAFETY: the caller's promise.
        None => unsafe { next(fd, length) },
    }
}

/// As `ftruncate(2)`, by the name that it has for large files.
///
/// # Safety
///
/// As that.
#[unsafe(no_mangle)] // SAFETY: the name of the function that it stands before.
pub unsafe extern "C" fn ftruncate64(fd: c_int, length: c_long) -> c_int {
    // SAFETY: where `long` has 64 bits the two are one.
    unsafe { ftruncate(fd, length) }
}
