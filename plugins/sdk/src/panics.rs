//! Panics: what was said where, and how they end at the boundary.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

/// What is known of a panic.
#[derive(Debug)]
pub(crate) struct Panicked {
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

thread_local! {
    static LAST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Installs this library's own panic hook: a cdylib has its own `std`, and so
/// its own hook. It notes where the panic was and symbolizes no backtrace.
pub(crate) fn install_hook() {
    set_hook(Box::new(|info| {
        let (file, line) = info
            .location()
            .map_or((String::new(), 0), |at| (at.file().to_owned(), at.line()));
        let panicked = Panicked {
            message: text(info.payload()),
            file,
            line,
        };
        // A panic while this thread is already noting one keeps the first.
        LAST.with(|last| {
            if let Ok(mut last) = last.try_borrow_mut() {
                *last = Some(panicked);
            }
        });
    }));
}

/// Runs `body`; a panic in it becomes an `Err`.
#[inline]
pub(crate) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, Box<Panicked>> {
    catch_unwind(AssertUnwindSafe(body)).map_err(panicked)
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Box<Panicked> {
    let noted = LAST.with(|last| last.try_borrow_mut().ok().and_then(|mut last| last.take()));
    let panicked = noted.unwrap_or_else(|| Panicked {
        message: text(&*payload),
        file: String::new(),
        line: 0,
    });
    // Dropping a panic's payload runs the author's code, which may panic
    // again. What that throws is leaked, for dropping it could go on for ever.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
        // That it panicked again is not to be told of a later panic.
        LAST.with(|last| last.try_borrow_mut().map(|mut last| last.take()).ok());
    }
    Box::new(panicked)
}

fn text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic whose payload is no text".to_owned())
}
