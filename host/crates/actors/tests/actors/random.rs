//! Up and down between three versions at random, with commands of each of them in
//! between: against a model that forgets nothing.

use std::collections::BTreeMap;

use host_actors::CallError;
use host_model::Version;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::home::{Home, Host, request};

const ACTOR: &str = "faulty:a";
const HOUR: i64 = 3_600_000;

#[derive(Debug, Clone)]
enum Step {
    /// To this version.
    Move(u64),
    /// The process ends, and another one starts.
    Restart,
    /// Counts, in the shape of this version.
    Add(u64, i64),
    /// Keeps a text that 0.1.0 cannot hold, in the shape of this version.
    Note(u64),
    /// Keeps a text that only 0.3.0 can hold.
    Tag,
    /// Sets a timer that this version is the first to know.
    Timer(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..=3).prop_map(Step::Move),
        1 => Just(Step::Restart),
        3 => ((1_u64..=3), (1_i64..100)).prop_map(|(shape, by)| Step::Add(shape, by)),
        2 => (2_u64..=3).prop_map(Step::Note),
        2 => Just(Step::Tag),
        2 => (1_u64..=3).prop_map(Step::Timer),
    ]
}

/// What must be there, whichever version rules.
struct Model {
    /// The version that rules.
    minor: u64,
    count: i64,
    notes: Vec<String>,
    tags: Vec<String>,
    /// Timers, with the first version that knows them.
    timers: BTreeMap<String, u64>,
}

/// Sends a command in the shape of a version. Whether it was taken; where not, for it is
/// not known.
async fn takes(host: &Host, shape: u64, event: &str, payload: Value) -> bool {
    let mut request = request(ACTOR, event, payload);
    request.version = Some(Version::new(0, shape, 0));
    match host.0.call(request).await {
        Ok(_) => true,
        Err(CallError::Rejected(rejection)) if rejection.reason == "unknown_event" => false,
        Err(error) => panic!("{event} in the shape of 0.{shape}.0: {error}"),
    }
}

impl Model {
    /// Takes a step. The next process, where one is started.
    async fn take(&mut self, home: &Home, host: Host, step: &Step, number: usize) -> Host {
        let text = format!("text {number}");
        match *step {
            Step::Move(minor) => {
                host.0.install(home.release_after(minor, self.minor));
                self.minor = minor;
            }
            Step::Restart => {
                host.stop();
                return home.start(self.minor);
            }
            Step::Add(shape, by) => {
                let event = if shape == 3 { "count" } else { "add" };
                assert!(takes(&host, shape, event, json!({ "by": by })).await);
                self.count += by;
            }
            Step::Note(shape) => {
                let event = if shape == 3 { "remark" } else { "note" };
                let taken = takes(&host, shape, event, json!({ "text": text })).await;
                assert_eq!(taken, self.minor >= 2);
                self.notes.extend(taken.then_some(text));
            }
            Step::Tag => {
                let taken = takes(&host, 3, "tag", json!({ "text": text })).await;
                assert_eq!(taken, self.minor == 3);
                self.tags.extend(taken.then_some(text));
            }
            Step::Timer(known) if known <= self.minor => {
                let name = ["any", "remind", "ripen"][usize::try_from(known).unwrap() - 1];
                let set = json!({ "name": name, "in_ms": HOUR });
                assert!(takes(&host, self.minor, "set_timer", set).await);
                self.timers.insert(name.to_owned(), known);
            }
            Step::Timer(_) => {}
        }
        host
    }

    async fn holds(&self, host: &Host) {
        // An answer says that all it has seen is durable.
        let summary = host.ask(ACTOR, "summary", Value::Null).await;
        assert_eq!(summary["version"], format!("0.{}.0", self.minor));
        assert_eq!(
            (&summary["count"], &summary["ticks"]),
            (&json!(self.count), &json!(0))
        );
        if self.minor >= 2 {
            assert_eq!(summary["notes"], json!(self.notes));
        }
        if self.minor == 3 {
            assert_eq!(summary["tags"], json!(self.tags));
        }
        let rows = host.0.journal().timers_of(&ACTOR.parse().unwrap()).unwrap();
        let rows: Vec<_> = rows.into_iter().map(|row| row.name).collect();
        let known = self
            .timers
            .iter()
            .filter(|(_, known)| **known <= self.minor);
        let known: Vec<_> = known.map(|(name, _)| name.clone()).collect();
        assert_eq!(rows, known, "those that wait are not set");
        assert_eq!(host.0.migrations().first_failure(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_forgotten_between_three_versions(
        steps in prop::collection::vec(step(), 1..32),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::spawn(async move {
                let home = Home::new();
                let mut host = home.start(1);
                let mut model = Model {
                    minor: 1,
                    count: 1,
                    notes: Vec::new(),
                    tags: Vec::new(),
                    timers: BTreeMap::new(),
                };
                host.ask(ACTOR, "add", json!({ "by": 1 })).await;
                for (number, step) in steps.iter().enumerate() {
                    host = model.take(&home, host, step, number).await;
                    model.holds(&host).await;
                }
                host.stop();
            })
            .await
        })
        .unwrap();
    }
}
