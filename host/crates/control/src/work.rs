//! Where the work of a request is done: none of it on the control runtime's own thread.

use std::sync::Arc;

use axum::http::StatusCode;
use host_actors::CallError;
use host_model::control::ReleaseRow;

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
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unknown(control, error).await),
        // The host ends, and leaves what it has begun.
        Err(error) if error.is_cancelled() => Err(ended()),
        Err(error) => Err(Refusal::internal("ask an actor", &error)),
    }
}

/// What is said to whoever asked a host that has ended meanwhile.
fn ended() -> Refusal {
    let why = "the host ended before there was an answer: it may have happened or not; \
               say it again once the host runs, a command under the same key";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome_unknown", why)
}

/// The refusal. A plugin that has left the release, or is of one to come, is one that its
/// operator knows: the releases here that have it are named.
async fn unknown(control: &Control, error: CallError) -> Refusal {
    let CallError::UnknownPlugin { plugin, .. } = &error else {
        return error.into();
    };
    let (plugin, upgrader) = (plugin.clone(), Arc::clone(&control.upgrader));
    let elsewhere = blocking(move || upgrader.releases().map(|rows| elsewhere(&plugin, &rows)));
    // Where they cannot be read, what there is to say is said without.
    let elsewhere = elsewhere.await.ok().flatten();
    Refusal::from(error).and(&elsewhere.unwrap_or_default())
}

/// Which releases have the plugin.
fn elsewhere(plugin: &str, rows: &[ReleaseRow]) -> Option<String> {
    let has_it = |row: &&ReleaseRow| row.plugins.iter().any(|it| it.name == plugin);
    let found: Vec<_> = rows.iter().filter(has_it).collect();
    let versions: Vec<_> = found.iter().map(|row| row.version.to_string()).collect();
    match versions.len() {
        0 => None,
        1 => Some(format!("; release {} has it", versions[0])),
        _ => Some(format!("; releases {} have it", versions.join(", "))),
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

#[cfg(test)]
mod tests {
    use host_model::Version;
    use host_model::control::PluginRow;
    use host_model::release::ReleaseStatus;

    use super::*;

    #[test]
    fn a_plugin_of_other_releases_is_found() {
        let row = |minor, plugins: &[&str]| ReleaseRow {
            version: Version::new(0, minor, 0),
            status: ReleaseStatus::Unpacked,
            plugins: plugins
                .iter()
                .map(|name| PluginRow {
                    name: (*name).to_owned(),
                    version: Version::new(0, 1, 0),
                })
                .collect(),
            broken: None,
        };
        let rows = [
            row(1, &["a"]),
            row(2, &["a", "counter"]),
            row(3, &["a", "b"]),
        ];
        assert_eq!(
            elsewhere("counter", &rows).unwrap(),
            "; release 0.2.0 has it"
        );
        assert_eq!(
            elsewhere("a", &rows).unwrap(),
            "; releases 0.1.0, 0.2.0, 0.3.0 have it"
        );
        assert_eq!(elsewhere("c", &rows), None);
    }
}
