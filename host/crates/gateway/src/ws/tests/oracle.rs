//! Random streams, valid and broken, read by this codec and by tungstenite:
//! the same messages, and the same verdict.
//!
//! Where this codec refuses before a frame is complete, tungstenite still
//! waits. It is then fed filler until it decides: an early refusal is right
//! only if the rest of the frame could not have saved it.
//!
//! proptest prints the smallest failing stream and keeps its seed.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::agreement::{MESSAGE_BYTES_MAX, disagreement};
use super::*;

fn assert_agreement(wire: &[u8], portions: &[usize]) -> Result<(), TestCaseError> {
    match disagreement(wire, portions) {
        Some(what) => Err(TestCaseError::fail(what)),
        None => Ok(()),
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "\\PC{0,20}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..12),
        1 => (100..=MESSAGE_BYTES_MAX).prop_map(|length| vec![b'x'; length]),
        1 => Just("€".repeat(MESSAGE_BYTES_MAX / 3).into_bytes()),
    ]
}

/// A message in any number of fragments, cut anywhere, with control frames between.
fn message() -> impl Strategy<Value = Vec<ClientFrame>> {
    let opcode = prop_oneof![3 => Just(TEXT), 1 => Just(BINARY)];
    let between = vec(proptest::option::weighted(0.3, control()), 4);
    (opcode, payload(), vec(any::<Index>(), 0..4), between).prop_map(
        |(opcode, payload, cuts, between)| {
            let mut cuts: Vec<_> = cuts
                .iter()
                .map(|cut| cut.index(payload.len() + 1))
                .collect();
            cuts.extend([0, payload.len()]);
            cuts.sort_unstable();
            let last = cuts.len() - 2;
            let mut between = between.into_iter();
            let mut frames = Vec::new();
            for (at, cut) in cuts.windows(2).enumerate() {
                let opcode = if at == 0 { opcode } else { CONTINUATION };
                let fragment = ClientFrame::new(opcode, &payload[cut[0]..cut[1]]);
                frames.push(ClientFrame {
                    fin: at == last,
                    ..fragment
                });
                frames.extend(between.next().flatten());
            }
            frames
        },
    )
}

fn control() -> impl Strategy<Value = ClientFrame> {
    (
        prop_oneof![Just(PING), Just(PONG)],
        vec(any::<u8>(), 0..=125),
    )
        .prop_map(|(opcode, payload)| ClientFrame::new(opcode, payload))
}

fn close() -> impl Strategy<Value = ClientFrame> {
    let code = prop_oneof![900..1100_u16, 2900..5100_u16, any::<u16>()];
    prop_oneof![
        2 => (code, payload()).prop_map(|(code, mut reason)| {
            reason.truncate(123);
            ClientFrame::new(CLOSE, [&code.to_be_bytes()[..], &reason].concat())
        }),
        1 => vec(any::<u8>(), 0..4).prop_map(|payload| ClientFrame::new(CLOSE, payload)),
    ]
}

/// A frame with anything in any field.
fn stray() -> impl Strategy<Value = ClientFrame> {
    let reserved = prop_oneof![9 => Just(0), 1 => 1..8_u8];
    let mask = proptest::option::weighted(0.9, any::<[u8; 4]>());
    (
        any::<bool>(),
        reserved,
        0..16_u8,
        mask,
        vec(any::<u8>(), 0..200),
    )
        .prop_map(|(fin, reserved, opcode, mask, payload)| ClientFrame {
            fin,
            reserved,
            opcode,
            mask,
            payload,
        })
}

/// Mostly messages, at times what does not belong; each frame masked its own way.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        12 => message(),
        2 => control().prop_map(|frame| vec![frame]),
        1 => close().prop_map(|frame| vec![frame]),
        1 => stray().prop_map(|frame| vec![frame]),
    ];
    (vec(part, 0..8), any::<[u8; 4]>()).prop_map(|(parts, mask)| {
        let frames = parts.into_iter().flatten().enumerate();
        frames
            .flat_map(|(at, mut frame)| {
                let mut mask = mask;
                mask.rotate_left(at % 4);
                frame.mask = frame.mask.map(|_| mask);
                frame.encode()
            })
            .collect()
    })
}

/// Damage to the bytes of a stream.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Truncate),
    ]
}

fn damaged(mut wire: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if wire.is_empty() {
            break;
        }
        let length = wire.len();
        match damage {
            Damage::Flip(at, bit) => wire[at.index(length)] ^= 1 << bit,
            Damage::Replace(at, byte) => wire[at.index(length)] = *byte,
            Damage::Insert(at, byte) => wire.insert(at.index(length), *byte),
            Damage::Remove(at) => drop(wire.remove(at.index(length))),
            Damage::Truncate(at) => wire.truncate(at.index(length)),
        }
    }
    wire
}

fn portions() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), vec(1..40_usize, 1..6)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn streams_of_frames(wire in stream(), portions in portions()) {
        assert_agreement(&wire, &portions)?;
    }

    #[test]
    fn damaged_streams(
        wire in stream(),
        damages in vec(damage(), 1..4),
        portions in portions(),
    ) {
        assert_agreement(&damaged(wire, &damages), &portions)?;
    }

    #[test]
    fn close_frames(close in close(), portions in portions()) {
        assert_agreement(&close.encode(), &portions)?;
    }

    #[test]
    fn random_bytes(wire in vec(any::<u8>(), 0..60), portions in portions()) {
        assert_agreement(&wire, &portions)?;
    }
}
