//! What a client sends over a WebSocket, in portions and over changes of process: it
//! never panics, and tungstenite reads the same messages and comes to the same verdict.
#![no_main]

use host_gateway::ws::{CloseCode, Codec, Limits, Message, Violation};
use libfuzzer_sys::fuzz_target;

#[path = "../../host/crates/gateway/src/ws/tests/agreement.rs"]
mod agreement;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (portions, wire) = input;
    let portions: Vec<usize> = match portions.is_empty() {
        true => vec![usize::MAX],
        false => portions.iter().map(|&it| usize::from(it).max(1)).collect(),
    };
    if let Some(what) = agreement::disagreement(wire, &portions) {
        panic!("{what}");
    }
});
