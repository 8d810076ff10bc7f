//! Hooks, which do what their name says.

use std::sync::{Mutex, PoisonError};

use host_sdk::Rejection;

use crate::sleep;

/// The hooks that have run to their end in this process. A static: it is in no journal,
/// and gone with the process.
static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The hooks that have run to their end, in their order.
pub(crate) fn ran() -> Vec<String> {
    RAN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// `refuse…` is refused, `panic…` panics, `abort…` ends the process, `exit…` does so as if
/// all were well, `sleep-MS` takes so long; any other is only remembered.
#[expect(
    clippy::disallowed_methods,
    reason = "a plugin that ends the process is what it is for"
)]
pub(crate) fn run(hook: &str) -> Result<(), Rejection> {
    if hook.starts_with("refuse") {
        return Err(Rejection::new("refused", "this hook is never accepted"));
    }
    assert!(
        !hook.starts_with("panic"),
        "a hook panics, as it was told to"
    );
    if hook.starts_with("abort") {
        std::process::abort();
    }
    if hook.starts_with("exit") {
        std::process::exit(0);
    }
    if let Some(ms) = hook.strip_prefix("sleep-") {
        let ms = ms.parse();
        sleep(ms.map_err(|_| Rejection::new("bad_hook", "sleep-MS takes a number"))?);
    }
    let mut ran = RAN.lock().unwrap_or_else(PoisonError::into_inner);
    ran.push(hook.to_owned());
    Ok(())
}
