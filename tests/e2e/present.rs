//! What a token is to a connection while it lasts: under whose name it is shown, and what
//! its end ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{Client, wait};
use serde_json::{Value, json};

use crate::identity::{campaign, gift, home, post, token};

const TOPIC: &str = "zakat:ali";

/// Someone who is on [`TOPIC`], and sees who else is: by key, the `phx_ref` of each.
struct Watcher {
    client: Client,
    present: BTreeMap<String, BTreeSet<String>>,
    /// All keys that it was ever told of.
    told: BTreeSet<String>,
}

impl Watcher {
    fn joins(port: u16, token: &str) -> Self {
        let mut client = Client::with_token(port, token).unwrap();
        let wishes = json!({"presence": true});
        client.join_with(TOPIC, &wishes).unwrap().ok().unwrap();
        let state = client.next_of("presence_state").unwrap().payload;
        let mut watcher = Self {
            client,
            present: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        watcher.enter(&state);
        watcher
    }

    /// The one `phx_ref` under a key.
    fn only(&self, key: &str) -> String {
        let refs: Vec<_> = self.present[key].iter().collect();
        assert_eq!(refs.len(), 1, "{:?}", self.present);
        refs[0].clone()
    }

    /// Waits until so many connections are shown of each.
    #[track_caller]
    fn sees(&mut self, wanted: &[(&str, usize)]) {
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(key, n)| ((*key).to_owned(), *n))
            .collect();
        wait::until_is("who is there", &wanted, || {
            self.listens();
            let shown = self.present.iter();
            shown.map(|(key, refs)| (key.clone(), refs.len())).collect()
        })
        .unwrap();
    }

    fn listens(&mut self) {
        for message in self.client.listen(Duration::from_millis(10)).unwrap() {
            match message.event.as_str() {
                "presence_diff" => {
                    self.enter(&message.payload["joins"]);
                    self.leave(&message.payload["leaves"]);
                }
                "presence_state" | "phx_close" | "phx_error" => panic!("{message:?}"),
                _ => {}
            }
        }
    }

    fn enter(&mut self, joins: &Value) {
        for (key, phx_ref) in refs(joins) {
            let is_new = self.present.entry(key.clone()).or_default().insert(phx_ref);
            assert!(is_new, "{key} was shown already: {joins}");
            self.told.insert(key);
        }
    }

    fn leave(&mut self, leaves: &Value) {
        for (key, phx_ref) in refs(leaves) {
            let refs = self.present.get_mut(&key);
            let refs = refs.unwrap_or_else(|| panic!("{key} was not shown: {leaves}"));
            assert!(refs.remove(&phx_ref), "{key} was not shown so: {leaves}");
            if refs.is_empty() {
                self.present.remove(&key);
            }
        }
    }
}

fn refs(shown: &Value) -> Vec<(String, String)> {
    let mut refs = Vec::new();
    for (key, value) in shown.as_object().unwrap() {
        for meta in value["metas"].as_array().unwrap() {
            let phx_ref = meta["phx_ref"].as_str().unwrap();
            refs.push((key.clone(), phx_ref.to_owned()));
        }
    }
    refs
}

#[test]
fn who_may_not_join_is_not_shown_and_who_may_is_shown_under_the_tokens_sub() {
    let home = home();
    let port = home.start().unwrap().port;
    let (ali, sara) = (token(&home, "ali", &[]), token(&home, "sara", &[]));
    let omar = token(&home, "omar", &["auditor"]);
    let mut first = Watcher::joins(port, &ali);
    let own = first.only("ali");
    let second = Watcher::joins(port, &ali);
    first.sees(&[("ali", 2)]);
    let mut auditor = Watcher::joins(port, &omar);
    let all = [("ali", 2), ("omar", 1)];
    first.sees(&all);
    auditor.sees(&all);

    let refused = |token: Option<&str>| {
        let mut client = match token {
            Some(token) => Client::with_token(port, token).unwrap(),
            None => Client::connect(port).unwrap(),
        };
        let reply = client.join_with(TOPIC, &json!({"presence": true}));
        assert_eq!(reply.unwrap().reason().unwrap(), "forbidden");
        client
    };
    let mut outsiders = vec![refused(Some(&sara)), refused(None)];

    home.upgrade("0.2.0").unwrap();
    outsiders.push(refused(Some(&sara)));
    // Nobody was moved by it, and who comes now is shown to all, and all to them.
    let mut third = Watcher::joins(port, &ali);
    let all = [("ali", 3), ("omar", 1)];
    for watcher in [&mut first, &mut auditor, &mut third] {
        watcher.sees(&all);
    }
    assert!(first.present["ali"].contains(&own));

    // The others under a key stay, when one of them leaves: by its connection's end, ...
    drop(second);
    first.sees(&[("ali", 2), ("omar", 1)]);
    assert!(first.present["ali"].contains(&own));
    // ... or with a word.
    let left = third.client.push(TOPIC, "phx_leave", &json!({})).unwrap();
    assert_eq!(left.ok().unwrap(), json!({}));
    for watcher in [&mut first, &mut auditor] {
        watcher.sees(&[("ali", 1), ("omar", 1)]);
        assert_eq!(watcher.only("ali"), own);
    }
    drop(auditor);
    first.sees(&[("ali", 1)]);
    assert_eq!(first.only("ali"), own);

    // By now everything about the others would have come.
    let keys = ["ali", "omar"].map(str::to_owned);
    assert_eq!(first.told, BTreeSet::from(keys));
    for outsider in &mut outsiders {
        let heard = outsider.listen(Duration::from_millis(10)).unwrap();
        let presence = heard.iter().filter(|it| it.event.starts_with("presence"));
        assert_eq!(presence.count(), 0, "{heard:?}");
    }
    home.stop().unwrap();
}

/// In real time: a token's end, and the half minute by which clocks may differ.
#[test]
fn a_token_that_ends_makes_a_reader_until_the_next_one_comes() {
    let home = home();
    let port = home.start().unwrap().port;
    let short = ["gen", "token", "--sub", "ali", "--ttl", "2s"];
    let short = home.done(&short).unwrap().stdout.trim().to_owned();
    let mut ali = Client::with_token(port, &short).unwrap();
    ali.join("donations:a").unwrap().ok().unwrap();
    let opened = ali.push("donations:a", "open", &campaign()).unwrap();
    opened.ok().unwrap();
    wait::until("the token has ended", || {
        let reply = ali.push("donations:a", "summary", &json!({})).unwrap();
        reply.reason().ok()
    })
    .map(|reason| assert_eq!(reason, "token_expired"))
    .unwrap();

    let refused = ali.push("donations:a", "donate", &gift("d1")).unwrap();
    assert_eq!(refused.reason().unwrap(), "token_expired");
    let refused = ali.join("donations:b").unwrap();
    assert_eq!(refused.reason().unwrap(), "token_expired");
    // Whoever comes with it is not let in.
    let gone = Client::ask(port, &format!("&token={short}"), &[]).unwrap();
    let gone = gone.unwrap_err();
    assert_eq!(
        (gone.status, &gone.problem["reason"]),
        (403, &json!("token_expired"))
    );
    let answer = post(port, Some(&short), "donations/a/donate", &gift("d1"));
    assert_eq!(
        (answer.status, answer.reason()),
        (401, "token_expired".to_owned())
    );

    // The connection is open, and hears what it has joined.
    let beat = ali.push("phoenix", "heartbeat", &json!({})).unwrap();
    assert_eq!(beat.ok().unwrap(), json!({}));
    let sara = token(&home, "sara", &[]);
    let given = post(port, Some(&sara), "donations/a/donate", &gift("d2"));
    assert_eq!(given.status, 200, "{}", given.body);
    let heard = ali.next_of("donation_received").unwrap();
    assert_eq!(heard.payload["donation_id"], "d2", "{heard:?}");

    // It goes on over the same connection with another token of the same sub, and no other.
    let mut renew = |token: &str| ali.push("phoenix", "token", &json!({"token": token}));
    assert!(renew(&sara).unwrap().reason().is_ok());
    assert_eq!(renew(&short).unwrap().reason().unwrap(), "token_expired");
    let next = token(&home, "ali", &[]);
    assert_eq!(renew(&next).unwrap().ok().unwrap(), json!({}));
    let given = ali.push("donations:a", "donate", &gift("d1")).unwrap();
    assert_eq!(given.ok().unwrap()["total"], "10.00");
    ali.join("donations:b").unwrap().ok().unwrap();
    assert_eq!(home.metric("websockets_opened").unwrap(), 1);
    home.stop().unwrap();
}
