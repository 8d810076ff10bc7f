//! Work grows with the bytes, not with their square.
//!
//! The deadline is generous: linear work takes a few hundredths of it, and
//! moving what is left for each portion would take minutes.

use std::time::{Duration, Instant};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < DEADLINE, "it took {:?}", start.elapsed());
    result
}

fn roomy() -> Codec {
    Codec::new(Limits {
        message_bytes_max: 16 << 20,
        ..Limits::default()
    })
}

fn read_in_portions(codec: &mut Codec, wire: &[u8], portion: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for portion in wire.chunks(portion) {
        codec.receive(portion);
        messages.extend(codec.next_message().unwrap());
    }
    messages
}

#[test]
fn a_message_of_16_mib_in_portions_of_1_kib() {
    let payload = "مال".repeat((16 << 20) / 6);
    let wire = frame(TEXT, &payload);
    let messages = in_time(|| read_in_portions(&mut roomy(), &wire, 1024));
    assert!(messages == [text(&payload)], "the message differs");
}

#[test]
fn a_message_a_byte_at_a_time() {
    let payload = "x".repeat(4 << 20);
    let wire = frame(TEXT, &payload);
    let messages = in_time(|| read_in_portions(&mut roomy(), &wire, 1));
    assert!(messages == [text(&payload)], "the message differs");
}

#[test]
fn a_message_in_fragments_of_a_byte() {
    let count = 1 << 20;
    let wire = [
        unfinished(TEXT, "x"),
        unfinished(CONTINUATION, "x").repeat(count - 2),
        frame(CONTINUATION, "x"),
    ]
    .concat();
    let messages = in_time(|| read_in_portions(&mut roomy(), &wire, 1500));
    assert!(
        messages == [text(&"x".repeat(count))],
        "the message differs"
    );
}

#[test]
fn a_backlog_of_small_frames_taken_one_for_each_byte_received() {
    let count = 500_000;
    let mut codec = roomy();
    codec.receive(&frame(TEXT, "x").repeat(count));
    in_time(|| {
        for byte in frame(BINARY, "").iter().cycle().take(count) {
            codec.receive(&[*byte]);
            assert_eq!(codec.next_message(), Ok(Some(text("x"))));
        }
    });
}

#[test]
fn an_output_written_a_little_at_a_time_while_more_is_queued() {
    let mut codec = roomy();
    codec.send_binary(&vec![0; 8 << 20]).unwrap();
    in_time(|| {
        for _ in 0..500_000 {
            codec.send_text("x").unwrap();
            codec.sent(10);
        }
    });
    assert_eq!(codec.output().len(), (8 << 20) + 10 - 500_000 * 7);
}
