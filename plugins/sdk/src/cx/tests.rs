//! Claims and random bits.

use serde::Deserialize;

use super::{Caller, Cx, Random};

#[derive(Debug, Deserialize, PartialEq)]
struct Claims {
    sub: String,
}

#[test]
fn claims_are_there_in_their_shape_or_not_at_all() {
    let none = Cx::for_test("k", "e", 0);
    assert_eq!(none.claims::<Claims>(), None);
    let ali = Cx::for_test("k", "e", 0).with_claims(br#"{"sub":"ali","exp":1}"#);
    assert_eq!(ali.claims::<Claims>().unwrap().sub, "ali");
    let other = Cx::for_test("k", "e", 0).with_claims(br#"{"sub":7}"#);
    assert_eq!(other.claims::<Claims>(), None);
}

#[test]
fn a_context_tells_what_it_was_given() {
    let cx = Cx::for_test("k", "e", 5).with_caller(Caller::Timer);
    assert_eq!(
        (cx.key(), cx.event(), cx.now_ms(), cx.seq()),
        ("k", "e", 5, 0)
    );
    assert_eq!(cx.caller(), Caller::Timer);
}

#[test]
fn each_use_of_random_differs_and_a_replay_does_not() {
    let draw = || {
        let cx = Cx::for_test("k", "e", 0);
        [
            cx.random().next_u64(),
            cx.random().next_u64(),
            cx.random().next_u64(),
        ]
    };
    let [a, b, c] = draw();
    assert!(a != b && b != c && a != c);
    assert_eq!(draw(), [a, b, c]);
}

/// The first values for seed 1234567, from the authors' reference in C.
#[test]
fn random_is_splitmix64() {
    let mut random = Random::new(1_234_567);
    assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
    assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
}

#[test]
fn below_stays_below() {
    let mut random = Random::new(0);
    assert_eq!((random.below(0), random.below(1)), (0, 0));
    let mut seen = [false; 6];
    for _ in 0..1_000 {
        seen[usize::try_from(random.below(6)).unwrap()] = true;
    }
    assert_eq!(seen, [true; 6]);
}
