//! Random entries against a model that a page holds, with openings in between.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::{CastId, Consumed, Letter};

/// Small numbers in a row that one seed determines.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Default)]
struct Model {
    actors: BTreeMap<ActorId, ModelActor>,
    casts: BTreeMap<CastId, Letter>,
}

#[derive(Default, Clone)]
struct ModelActor {
    snapshot: Option<u64>,
    tail: Vec<u64>,
    seq: u64,
    version: Option<Version>,
    head: Position,
    timers: BTreeMap<String, (i64, Position)>,
}

impl Model {
    /// Rows that may come next, in the order of appending; takes them over.
    fn next(&mut self, dice: &mut Dice, position: Position) -> Rows {
        let id = actor(&format!("{}", dice.below(12)));
        let casts = self.casts.keys().copied().collect::<Vec<_>>();
        let actor = self.actors.entry(id.clone()).or_default();
        let mut rows = Rows::default();
        if actor.seq == 0 || dice.below(4) > 0 {
            actor.seq += 1;
            let record = record(&id, actor.seq);
            actor.version = Some(record.version.clone());
            actor.tail.push(actor.seq);
            rows.record = Some(record);
        }
        if rows.record.is_none() || dice.below(8) == 0 {
            let snapshot = snapshot(&id, actor.seq);
            actor.version = Some(snapshot.version.clone());
            actor.snapshot = Some(actor.seq);
            actor.tail.clear();
            rows.snapshot = Some(snapshot);
        }
        actor.head = position;
        let name = format!("timer-{}", dice.below(3));
        match dice.below(4) {
            0 => {
                let due_ms = i64::try_from(dice.below(1_000)).unwrap();
                actor.timers.insert(name.clone(), (due_ms, position));
                rows.timers_set.push((name, due_ms, Bytes::new()));
            }
            1 => {
                actor.timers.remove(&name);
                rows.timers_cancelled.push(name);
            }
            2 => {
                if let Some((_, set_at)) = actor.timers.remove(&name) {
                    let actor = id.clone();
                    rows.consumed = Some(Consumed::Timer {
                        actor,
                        name,
                        set_at,
                    });
                }
            }
            _ if !casts.is_empty() && dice.below(2) == 0 => {
                let cast = casts[usize::try_from(dice.below(casts.len() as u64)).unwrap()];
                self.casts.remove(&cast);
                rows.consumed = Some(Consumed::Cast(cast));
            }
            _ => {
                for index in 0..u32::try_from(dice.below(3)).unwrap() {
                    let letter = Letter {
                        from: id.clone(),
                        to: super::actor("sara"),
                        version: version("0.1.0"),
                        event: "pay".into(),
                        payload: Bytes::new(),
                        hops: index + 1,
                    };
                    self.casts
                        .insert(CastId { position, index }, letter.clone());
                    rows.casts.push(letter);
                }
            }
        }
        rows
    }

    fn compare(&self, journal: &Journal<u64>) {
        let listed = journal.list("donations", None, 99).unwrap();
        let listed: Vec<_> = listed
            .into_iter()
            .map(|it| (it.id, it.seq, Some(it.version)))
            .collect();
        let actors = self.actors.iter();
        let expected: Vec<_> = actors
            .map(|(id, actor)| (id.clone(), actor.seq, actor.version.clone()))
            .collect();
        assert_eq!(listed, expected);
        assert_eq!(journal.known(), self.actors.len() as u64);
        for (id, actor) in &self.actors {
            let stored = journal.read(id).unwrap().unwrap();
            let tail: Vec<_> = stored.tail.iter().map(|it| it.seq).collect();
            let snapshot = stored.snapshot.map(|it| it.seq);
            assert_eq!((snapshot, &tail), (actor.snapshot, &actor.tail), "{id}");
            assert_eq!(stored.head, actor.head, "{id}");
            let timers = journal.timers_of(id).unwrap().into_iter();
            let timers: BTreeMap<_, _> =
                timers.map(|it| (it.name, (it.due_ms, it.set_at))).collect();
            assert_eq!(timers, actor.timers, "{id}");
        }
        let casts = journal.casts(None, 10_000).unwrap().into_iter();
        let casts: BTreeMap<_, _> = casts.map(|row| (row.id, row.letter)).collect();
        assert_eq!(casts, self.casts);
        let due = self.actors.values().flat_map(|actor| actor.timers.values());
        assert_eq!(journal.next_timer().unwrap(), due.map(|it| it.0).min());
    }
}

pub(super) fn a_random_run_with_reopenings_agrees_with_the_model(place: &dyn Place) {
    let given = std::env::var("JOURNAL_TEST_SEED").ok();
    let seed = given.map_or(std::process::id().into(), |seed| seed.parse().unwrap());
    println!("run again with JOURNAL_TEST_SEED={seed}");
    let mut place: Option<Box<dyn Place>> = Some(place.another());
    let (mut dice, mut model) = (Dice(seed), Model::default());
    let mut position = 0;
    for _ in 0..8 {
        let here = place.take().expect("always put back");
        let bench = Bench::open(&*here);
        model.compare(&bench.journal);
        for _ in 0..dice.below(6) {
            let entries = 1 + dice.below(60);
            for token in 0..entries {
                position += 1;
                let rows = model.next(&mut dice, Position(position));
                assert_eq!(bench.append(rows, token), Position(position));
            }
            for token in 0..entries {
                let done = bench.next_done();
                assert_eq!((done.token, done.result), (token, Ok(())));
            }
            model.compare(&bench.journal);
        }
        // A crash, or an orderly end.
        place = Some(match dice.below(2) {
            0 => here.crashed(),
            _ => here,
        });
    }
}
