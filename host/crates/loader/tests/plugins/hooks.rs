//! Hooks: what they say, and what a plugin without them says.

use host_loader::{Call, Caller, FaultKind, Plugin};
use host_model::effect::Rejection;

use crate::Bench;

fn call(hook: &str) -> Call<'_> {
    Call {
        key: "",
        event: hook,
        payload: b"",
        claims: b"",
        now_ms: 0,
        seed: 0,
        seq: 0,
        caller: Caller::CLIENT,
        hops: 0,
    }
}

#[track_caller]
fn refused(plugin: &Plugin, hook: &str) -> Rejection {
    plugin.run(&call(hook)).unwrap().unwrap_err()
}

#[test]
fn a_hook_is_done_refused_or_broken() {
    let bench = Bench::new();
    let plugin = bench.open("faulty-v0-2-0");
    assert_eq!(plugin.run(&call("fine")).unwrap(), Ok(()));
    assert_eq!(refused(&plugin, "refuse").reason, "refused");
    let fault = plugin.run(&call("panic")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Panic);
    let shown = fault.to_string();
    assert!(shown.contains("faulty 0.2.0 panicked in run"), "{shown}");
}

#[test]
fn a_plugin_that_has_no_hooks_refuses_all() {
    let bench = Bench::new();
    let plugin = bench.open("faulty-v0-1-0");
    let refused = refused(&plugin, "before");
    assert_eq!(refused.reason, "unknown_hook");
    assert_eq!(refused.message, "faulty 0.1.0 has no hook \"before\"");
}

#[test]
fn a_plugin_that_was_built_before_there_were_hooks_says_so() {
    let bench = Bench::new();
    let plugin = bench.open_raw("minor_0_table").unwrap();
    let fault = plugin.run(&call("before")).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Protocol);
    assert!(fault.message.contains("before there were hooks"), "{fault}");
    let newer = bench.open_raw("fine").unwrap();
    assert_eq!(newer.run(&call("before")).unwrap(), Ok(()));
}

#[test]
fn a_plugin_has_its_hooks_whether_it_was_built_before_there_was_a_configuration_or_not() {
    let bench = Bench::new();
    for behaviour in ["minor_1_table", "longer_table"] {
        let plugin = bench.open_raw(behaviour).unwrap();
        assert_eq!(plugin.run(&call("before")).unwrap(), Ok(()));
        // It declares no settings, and is not asked.
        assert_eq!(plugin.configure(b"{}").unwrap(), Ok(()));
    }
}
