//! Hooks, run as an upgrade runs them.

use std::time::Duration;

use host_actors::HookError;

use crate::home::{Home, until};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_is_done_or_says_why_not() {
    let home = Home::new();
    let host = home.start(1);
    let [old, new, _] = home.codes();
    host.0.run_hook(&new, "fine", LONG).await.unwrap();
    for (code, hook, words) in [
        (
            &new,
            "refuse",
            "the hook `refuse` of faulty 0.2.0 was refused: this hook is never accepted (refused)",
        ),
        (
            &new,
            "panic",
            "the hook `panic` broke: faulty 0.2.0 panicked in run: a hook panics, as it was told to",
        ),
        (
            &old,
            "before",
            "the hook `before` of faulty 0.1.0 was refused: faulty 0.1.0 has no hook \"before\" (unknown_hook)",
        ),
    ] {
        let error = host.0.run_hook(code, hook, LONG).await.unwrap_err();
        let shown = error.to_string();
        assert!(shown.starts_with(words), "{shown}");
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_is_late_is_not_waited_for_nor_started_twice() {
    let home = Home::new();
    let host = home.start(1);
    let [_, new, _] = home.codes();
    let soon = Duration::from_millis(50);
    let late = host.0.run_hook(&new, "sleep-1500", soon).await.unwrap_err();
    assert!(matches!(late, HookError::Late { .. }), "{late}");
    assert!(late.to_string().contains("after the 50 ms"), "{late}");
    let twice = host.0.run_hook(&new, "sleep-1500", soon).await.unwrap_err();
    assert!(matches!(twice, HookError::StillRuns { .. }), "{twice}");
    // Another one is not held up by it.
    host.0.run_hook(&new, "fine", LONG).await.unwrap();
    until("it has ended", || async {
        let again = host.0.run_hook(&new, "sleep-1500", soon).await;
        matches!(again, Err(HookError::Late { .. }))
    })
    .await;
    host.stop();
}
