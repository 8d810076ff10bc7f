//! A plugin that answers with something else than the ABI says: a fault each
//! time, which names the function and what is missing.

use host_loader::{Call, Caller, Fault, FaultKind, Verdict};
use host_model::Version;

use crate::Bench;

fn call(event: &str) -> Call<'_> {
    Call {
        key: "k",
        event,
        payload: b"{}",
        claims: b"",
        now_ms: 0,
        seed: 0,
        seq: 0,
        caller: Caller::CLIENT,
        hops: 0,
    }
}

#[track_caller]
fn assert_broke<T: std::fmt::Debug>(answer: Result<T, Box<Fault>>, function: &str, message: &str) {
    let fault = answer.unwrap_err();
    assert_eq!(
        (fault.kind, &*fault.function),
        (FaultKind::Protocol, function)
    );
    assert!(fault.message.contains(message), "{fault}");
    let said = format!("raw 0.1.0 broke the protocol in {function}: ");
    assert!(fault.to_string().starts_with(&said), "{fault}");
}

#[test]
fn answers_that_are_not_what_the_abi_says() {
    let bench = Bench::new();
    let plugin = bench.open_raw("fine").unwrap();
    let mut state = plugin.new_state("k").unwrap();

    let silent = "it broke and did not say why";
    assert_broke(state.handle(&call("unknown_status")), "handle", silent);
    assert_broke(state.check(), "check", silent);
    assert_broke(plugin.import(b""), "import", silent);
    let older = Version::new(0, 0, 1);
    assert_broke(plugin.up(&older, b"", None, false), "up", silent);

    let effect = "an effect is not what the ABI says: unknown variant `explode`";
    assert_broke(state.handle(&call("bad_effect")), "handle", effect);
    let rejection = "its rejection is not what the ABI says";
    assert_broke(state.handle(&call("refuse")), "handle", rejection);
    assert_broke(plugin.authorize(&call("fine")), "authorize", rejection);

    assert_broke(state.apply(b"{}"), "apply", "it may not refuse");
    assert_broke(state.timer(&call("t")), "timer", "it has no such function");
    assert_broke(state.export(), "export", "it exported nothing");
    let down = "it gave no state or no carry";
    assert_broke(state.down(&older), "down", down);
    let up = plugin.upcast(&older, "fine", b"{}");
    assert_broke(up, "upcast", "it gave no message");
    let down = plugin.downcast(&older, "fine", b"{}");
    assert_broke(down, "downcast", "invalid utf-8");
}

#[test]
fn a_part_of_a_newer_minor_is_passed_over() {
    let bench = Bench::new();
    let plugin = bench.open_raw("fine").unwrap();
    let mut state = plugin.new_state("k").unwrap();
    let Ok(Verdict::Accepted(accepted)) = state.handle(&call("unknown_part")) else {
        panic!("an unknown part does no harm");
    };
    assert_eq!(accepted.event.as_deref(), Some(&b"{}"[..]));
    assert!(accepted.effects.is_empty());
}
