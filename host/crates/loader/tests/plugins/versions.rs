//! States that move between two versions that are open at once.

mod chain;
mod donations;
mod troubles;
mod zakat;

use std::sync::Arc;

use host_loader::Plugin;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::Value;

use crate::Bench;
use crate::actor::Actor;

/// Enough for every kind of command to meet every other.
const CASES: u32 = 96;

/// A command and its payload.
type Command = (&'static str, Value);

/// Two versions of one plugin.
struct Versions {
    older: Arc<Plugin>,
    newer: Arc<Plugin>,
}

impl Versions {
    fn open(bench: &Bench, plugin: &str) -> Self {
        Self {
            older: bench.open(&format!("{plugin}-v0-1-0")),
            newer: bench.open(&format!("{plugin}-v0-2-0")),
        }
    }
}

/// What clients were told, and what therefore must stay true.
trait Promises: Default {
    /// Takes note of a command that was accepted.
    fn accepted(&mut self, event: &str, payload: &Value, reply: &Value);

    /// Asks the actor for all of it again, in whichever version it is.
    fn ask(&self, actor: &mut Actor, versions: &Versions);
}

/// An actor's life: commands in the older version, in the newer, and in the
/// older again, with the laws of a migration at each change.
fn live<P: Promises>(versions: &Versions, [first, second, third]: &[Vec<Command>; 3]) {
    let Versions { older, newer } = versions;
    let mut promises = P::default();
    let mut actor = Actor::new(older, "k");
    let mut run = |actor: &mut Actor, commands: &[Command]| {
        for (event, payload) in commands {
            let before = actor.export();
            match actor.send(event, payload) {
                Ok(reply) => promises.accepted(event, payload, &reply),
                Err(_) => assert_eq!(actor.export(), before, "a refusal leaves no trace"),
            }
            actor.state.check().unwrap().unwrap();
        }
        actor.check();
        promises.ask(actor, versions);
    };

    run(&mut actor, first);
    actor.up_and_down_changes_nothing(newer);
    assert!(!actor.up(newer), "there was no carry");
    run(&mut actor, second);
    actor.down_and_up_changes_nothing(older);
    let at_its_newest = actor.export();

    actor.down(older);
    let came_down = actor.export();
    run(&mut actor, third);
    let moved = actor.export() != came_down;
    actor.up_and_down_changes_nothing(newer);
    assert_eq!(actor.up(newer), moved, "changed");
    if !moved {
        assert_eq!(actor.export(), at_its_newest);
    }
    run(&mut actor, &[]);
    actor.down_and_up_changes_nothing(older);
}

/// Lives many lives. What fails is shown at its smallest, with the seed.
fn live_many<P: Promises>(
    versions: &Versions,
    older: impl Strategy<Value = Command> + Clone,
    newer: impl Strategy<Value = Command>,
) {
    let given = std::env::var("LOADER_TEST_SEED").ok();
    let seed = given.map_or(std::process::id().into(), |seed| seed.parse().unwrap());
    let life = (
        prop::collection::vec(older.clone(), 0..20),
        prop::collection::vec(newer, 0..30),
        prop::collection::vec(older, 0..10),
    );
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&life, |(first, second, third)| {
        live::<P>(versions, &[first, second, third]);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}\nrun again with LOADER_TEST_SEED={seed}");
    }
}
