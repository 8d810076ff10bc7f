//! Clients that stay for weeks, in short: the npm client's own reconnection, resume and
//! presence, through all that becomes of a host.

use e2e::Home;
use host_model::control::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::phoenix::Node;

const WATCHERS: usize = 20;

/// What `stay.mjs` prints at its end.
#[derive(Debug, Deserialize)]
struct Seen {
    acknowledged: Vec<String>,
    told: bool,
    shown: bool,
    parted: bool,
    presences: Vec<usize>,
    watchers: Vec<Watcher>,
}

#[derive(Debug, Deserialize)]
struct Watcher {
    /// Gifts, with their fund where the message named one.
    heard: Vec<(String, Option<String>)>,
    joins: Vec<Joined>,
    disorders: u64,
    closes: u64,
}

#[derive(Debug, Deserialize)]
struct Joined {
    resumed: Option<bool>,
    replayed: Option<u64>,
    reason: Option<String>,
}

impl Seen {
    /// Each watcher has heard of each gift once, and in order, over whatever joins.
    fn heard_each_once(&self) {
        assert!(self.told, "somebody has not heard of the last gift");
        for (number, watcher) in self.watchers.iter().enumerate() {
            let heard: Vec<_> = watcher.heard.iter().map(|(id, _)| id).collect();
            let expected: Vec<_> = self.acknowledged.iter().collect();
            assert_eq!(heard, expected, "watcher {number}: {:?}", watcher.joins);
            assert_eq!((watcher.disorders, watcher.closes), (0, 0));
        }
    }

    fn see_each_other(&self) {
        assert!(self.shown, "{:?}", self.presences);
        assert!(self.parted, "the one who left is still shown");
    }

    /// All joins behind the first were resumed; gives how many there were, and what they
    /// were told again.
    fn resumes(&self) -> (usize, u64) {
        let again = self.watchers.iter().flat_map(|it| &it.joins[1..]);
        let (mut joins, mut replayed) = (0, 0);
        for join in again {
            assert_eq!((join.resumed, &join.reason), (Some(true), &None));
            joins += 1;
            replayed += join.replayed.unwrap_or(0);
        }
        (joins, replayed)
    }
}

fn watch(home: &Home, longpoll: bool) -> Node {
    let port = home.start().unwrap().port;
    let arguments = json!({"port": port, "watchers": WATCHERS, "longpoll": longpoll});
    let mut node = Node::run("stay.mjs", &arguments);
    assert_eq!(node.line(), json!({"ready": true}));
    node
}

fn end(node: &mut Node) -> Seen {
    node.tell();
    let line: Value = node.line();
    serde_json::from_value(line).unwrap()
}

fn switch(home: &Home) {
    for (report, to) in [(home.upgrade("0.2.0"), "0.2.0"), (home.rollback(), "0.1.0")] {
        let report = report.unwrap();
        assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
        assert_eq!(report.to.to_string(), to);
    }
}

#[test]
fn switches_are_not_noticed_and_the_shapes_stay_those_of_the_join() {
    let home = Home::new().unwrap();
    let mut node = watch(&home, false);
    switch(&home);
    home.upgrade("0.2.0").unwrap();
    let seen = end(&mut node);
    seen.heard_each_once();
    seen.see_each_other();
    assert_eq!(seen.resumes(), (0, 0), "nobody had to join again");
    let funds = seen.watchers.iter().flat_map(|it| &it.heard);
    assert_eq!(funds.filter(|(_, fund)| fund.is_some()).count(), 0);
}

#[test]
fn kills_and_restarts_are_resumed_from() {
    through_kills(false);
}

#[test]
fn kills_and_restarts_are_resumed_from_by_those_who_poll() {
    through_kills(true);
}

fn through_kills(longpoll: bool) {
    let home = Home::new().unwrap();
    let mut node = watch(&home, longpoll);
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    switch(&home);
    home.upgrade("0.2.0").unwrap();
    home.done(&["restart"]).unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    home.rollback().unwrap();
    let seen = end(&mut node);
    seen.heard_each_once();
    seen.see_each_other();
    let (joins, _) = seen.resumes();
    // The second and the third end may come before anyone is back.
    assert!(joins >= 2 * WATCHERS, "each came back twice: {joins}");
}
