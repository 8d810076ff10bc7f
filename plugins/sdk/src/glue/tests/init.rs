//! What the host gives a library once: its table of functions.

use std::ffi::c_void;
use std::panic::{set_hook, take_hook};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use host_abi::{Bytes, FaultKind, HostApi, LogLevel, Status};

use super::faults::HOOK;
use super::{Answer, Counter, with_sink};
use crate::glue::{Plain, table};

/// The lines that arrived: level, target, message, fields.
static LINES: Mutex<Vec<(u32, String, String, String)>> = Mutex::new(Vec::new());

unsafe extern "C" fn log_enabled(_: *const c_void, level: LogLevel) -> u32 {
    u32::from(level <= LogLevel::INFO)
}

unsafe extern "C" fn log(
    _: *const c_void,
    level: LogLevel,
    target: Bytes,
    message: Bytes,
    fields: Bytes,
) {
    // SAFETY: the bytes live for this callback.
    let text = |bytes: Bytes| unsafe { String::from_utf8_lossy(bytes.as_slice()).into_owned() };
    let line = (level.0, text(target), text(message), text(fields));
    LINES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(line);
}

unsafe extern "C" fn now(_: *const c_void) -> i64 {
    0
}

unsafe extern "C" fn random(_: *const c_void) -> u64 {
    0
}

fn api(size: usize) -> HostApi {
    HostApi {
        size,
        ctx: ptr::null(),
        log_enabled,
        log,
        now,
        random,
    }
}

fn init(api: *const HostApi) -> (Status, Answer) {
    let table = table::<Plain<Counter>>();
    // SAFETY: the table is read before the call returns; the sink is this call's.
    with_sink(|sink| unsafe { (table.init)(api.cast(), Bytes::EMPTY, sink) })
}

/// One test, for a library is initialised once in a process.
#[test]
fn init_takes_a_table_once_and_forwards_events_to_it() {
    let _turn = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = take_hook();
    let short = api(size_of::<HostApi>() - 1);
    let whole = api(size_of::<HostApi>());
    let null = init(ptr::null());
    let short = init(&raw const short);
    let first = init(&raw const whole);
    let again = init(&raw const whole);
    set_hook(before);

    assert_eq!(first.0, Status::OK);
    for (status, answer) in [null, short, again] {
        assert_eq!(
            (status, answer.fault().kind),
            (Status::FAULT, FaultKind::ERROR)
        );
    }
    tracing::info!(target: "counter", by = 2, who = "ali", "added {}", 2);
    tracing::debug!(target: "counter", "not kept");
    let _span = tracing::info_span!("not sent").entered();
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let ours: Vec<_> = lines.iter().filter(|line| line.1 == "counter").collect();
    let [(level, _, message, fields)] = ours[..] else {
        panic!("one line, not {ours:?}");
    };
    assert_eq!((*level, message.as_str()), (LogLevel::INFO.0, "added 2"));
    let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
    assert_eq!(fields, serde_json::json!({ "by": 2, "who": "ali" }));
}
