//! Where the work of a request is done: none of it on the control runtime's own thread.

use host_actors::CallError;

use crate::Control;
use crate::problem::Refusal;

/// Rows in one answer where nobody says how many.
const PAGE: usize = 1_000;

/// Rows in one answer, at most.
const PAGE_MAX: usize = 10_000;

/// So many rows are given to who asks for `limit`.
pub(crate) fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).min(PAGE_MAX)
}

/// Runs what may run a handler where handlers run.
pub(crate) async fn on_data<T: Send + 'static>(
    control: &Control,
    call: impl Future<Output = Result<T, CallError>> + Send + 'static,
) -> Result<T, Refusal> {
    match control.data.spawn(call).await {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(Refusal::internal("ask an actor", &error)),
    }
}

/// Reads the journal on a thread that may wait.
pub(crate) async fn blocking<T, E>(
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    tokio::task::spawn_blocking(read)
        .await
        .expect("reading the journal does not panic")
}
