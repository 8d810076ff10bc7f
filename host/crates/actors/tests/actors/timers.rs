//! Many timers of one actor that are due at once.

use host_journal::Rows;
use serde_json::{Value, json};

use crate::away;
use crate::home::{Home, until};
use crate::repair::record;

/// Each of them sets itself anew for another year: nobody need look for that now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_not_gone_through_again_for_every_few_of_an_actor() {
    const DUE: usize = 3_000;
    let home = Home::new();
    home.write(|write| {
        let payload = json!({ "every_ms": 31_536_000_000_i64 }).to_string();
        let timer = |n| (format!("t{n:05}"), 1, payload.clone().into());
        write(Rows {
            timers_set: (0..DUE).map(timer).collect(),
            ..record("faulty:a", "{\"noted\":{}}")
        });
    });
    let (host, store) = away::start(&home, 1);
    until("all have fired", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == DUE
    })
    .await;
    // Eight are in flight at once. Time alone leads to two looks a second, and the test
    // ends after a minute.
    let looks = store.looks();
    assert!(looks < 250, "{looks} looks for {DUE} timers");
    let set = host.0.journal().timers_of(&"faulty:a".parse().unwrap());
    assert_eq!(set.unwrap().len(), DUE);
    host.stop();
}
