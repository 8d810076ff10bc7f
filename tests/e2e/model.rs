//! The whole engine against a model of it: random commands, casts, timers, upgrades,
//! canaries, pauses, ways back and crashes on a real host, and what a simple state machine
//! says must be there after each.
//!
//! | variable | default | what |
//! |---|---|---|
//! | `E2E_SEED` | another one each time | which steps are taken; printed |
//! | `E2E_CASES` | 2 | sequences of steps, each on a home of its own; `make soak` takes 30 |

mod engine;
mod reference;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use e2e::variable;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use engine::Engine;
use reference::Model;

/// Steps of a sequence.
const STEPS: std::ops::Range<usize> = 16..24;

/// Sequences that are tried to make a failure shorter: each starts a host.
const SHRINKS_MAX: u32 = 24;

#[test]
fn whatever_is_done_the_host_is_what_a_simple_model_says() {
    let seed = variable::read("E2E_SEED", u64::from(std::process::id())).unwrap();
    let cases = variable::read("E2E_CASES", 2).unwrap();
    println!("E2E_SEED={seed} E2E_CASES={cases}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: SHRINKS_MAX,
        ..Config::default()
    };
    let steps = Model::sequential_strategy(STEPS);
    let ran = TestRunner::new(config.clone()).run(&steps, |(model, steps, seen)| {
        let seen: Option<Arc<AtomicUsize>> = seen;
        Engine::test_sequential(config.clone(), model, steps, seen);
        Ok(())
    });
    ran.unwrap_or_else(|failed| panic!("E2E_SEED={seed}: {failed}"));
}
