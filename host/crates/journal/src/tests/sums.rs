//! Rows beside the groups that are not what was written.

use super::copies::{ZERO, fill_all};
use super::once::key;
use super::place::Postgres;
use super::*;
use crate::ReadError;

type Reads = fn(&Journal<u64>) -> Result<(), ReadError>;

pub(super) fn a_changed_row_beside_the_groups_is_named_and_not_used(place: &dyn Place) {
    let cases: [(&str, &str, &str, Reads); 10] = [
        (
            "UPDATE casts SET payload = substr(payload, 2)",
            "the casts",
            "the row 44, 0 is damaged",
            |it| it.casts(None, 9).map(drop),
        ),
        (
            "UPDATE casts SET target = 'donations:omar'",
            "the casts",
            "the row 44, 0 is damaged",
            |it| it.casts(None, 9).map(drop),
        ),
        (
            "UPDATE timers SET due_ms = 6",
            "the timers",
            r#"the row "donations:ali", "close" is damaged"#,
            |it| it.timers_due(9, None, 9).map(drop),
        ),
        (
            "UPDATE timers SET name = 'open'",
            "the timers",
            r#"the row "donations:ali", "open" is damaged"#,
            |it| it.timers_of(&actor("ali")).map(drop),
        ),
        (
            "UPDATE timers SET name = 'open'",
            "the timers",
            r#"the row "donations:ali", "open" is damaged"#,
            |it| it.timer(&actor("ali"), "open").map(drop),
        ),
        (
            "UPDATE outbox SET url = 'https://c/' WHERE idx = 1",
            "the webhooks",
            "the row 44, 1 is damaged",
            |it| {
                let position = it.outbox(None, 1)?[0].id.position;
                it.outbox_row(crate::OutboxId { position, index: 1 })
                    .map(drop)
            },
        ),
        (
            "UPDATE answers SET reply = substr(reply, 2)",
            "the kept answers",
            r#"the row "donations:ali", "donate" is damaged"#,
            |it| it.answer(&key(ZERO)).map(drop),
        ),
        (
            "UPDATE dead_letters SET payload = substr(payload, 2)",
            "the dead letters",
            "is damaged",
            |it| it.dead_letters(0, 9).map(drop),
        ),
        (
            "UPDATE quarantine SET reason = ''",
            "the quarantine",
            r#"the row "donations:omar", "#,
            |it| it.quarantined().map(drop),
        ),
        (
            "UPDATE kv SET value = substr(value, 2) WHERE key = 'large'",
            "the host's values",
            r#"the row "large" is damaged"#,
            |it| it.value("large").map(drop),
        ),
    ];
    // By a disk, and by somebody with a console.
    let both = cases.into_iter().flat_map(|it| [(it, true), (it, false)]);
    for ((damage, what, problem, read), by_a_disk) in both {
        let place = &*place.another();
        fill_all(place);
        let bench = Bench::open(place);
        read(&bench.journal).unwrap();
        assert_eq!(bench.journal.check(|_, _| {}).unwrap().findings, []);
        drop(bench);
        match by_a_disk {
            true => place.damage(damage),
            false => place.sql(damage),
        }
        let found = place.archive().unwrap().check(|_, _| {}).unwrap().findings;
        assert_eq!(found.len(), 1, "{damage}: {found:?}");
        assert_eq!(found[0].what, what, "{damage}");
        assert!(found[0].problem.contains(problem), "{damage}: {found:?}");
        // What a start needs refuses it; what the host would act on later ends it then.
        let said = match Bench::try_open(place) {
            Ok(bench) => {
                let error = anyhow::Error::from(read(&bench.journal).unwrap_err());
                let acts_on_it = !matches!(what, "the kept answers" | "the dead letters");
                assert_eq!(bench.journal.must_look(), acts_on_it, "{damage}");
                format!("{error:#}")
            }
            Err(error) => {
                assert!(error.must_look(), "{damage}");
                format!("{:#}", anyhow::Error::from(error))
            }
        };
        assert!(said.contains(problem), "{damage}: {said}");
    }
}

/// A host of schema 3 goes on with the rows of this one, and leaves no wrong sum. Each store
/// in the words of that host.
#[test]
fn what_a_host_without_row_sums_writes_is_believed() {
    let sqlite = "INSERT OR REPLACE INTO kv (key, value) VALUES ('empty', x'00');
         INSERT OR REPLACE INTO timers (actor, name, due_ms, set_at, version, payload)
         SELECT actor, name, 9, set_at, version, payload FROM timers WHERE name = 'close';
         INSERT OR REPLACE INTO quarantine (actor, position, reason)
         VALUES ('donations:omar', 5, 'four faults');";
    let postgres = "SET application_name = 'host writer 0123456789abcdef';
         INSERT INTO kv (key, value) VALUES ('empty', '\\x00')
         ON CONFLICT (key) DO UPDATE SET value = excluded.value;
         INSERT INTO timers (actor, name, due_ms, set_at, version, payload)
         SELECT actor, name, 9, set_at, version, payload FROM timers WHERE name = 'close'
         ON CONFLICT (actor, name) DO UPDATE SET due_ms = excluded.due_ms;
         INSERT INTO quarantine (actor, position, reason)
         VALUES ('donations:omar', 5, 'four faults')
         ON CONFLICT (actor) DO UPDATE SET reason = excluded.reason;";
    for (place, written) in [
        (Box::new(Sqlite::new()) as Box<dyn Place>, sqlite),
        (Box::new(Postgres::new()), postgres),
    ] {
        fill_all(&*place);
        place.sql(written);
        place.sql("UPDATE outbox SET attempts = 4, due_ms = 7, error = 'gone' WHERE idx = 1");
        let found = place.archive().unwrap().check(|_, _| {}).unwrap().findings;
        assert_eq!(found, []);
        let bench = Bench::open(&*place);
        let journal = &bench.journal;
        let quarantined = vec![(actor("omar"), "four faults".to_owned())];
        assert_eq!(journal.quarantined().unwrap(), quarantined);
        assert_eq!(journal.timers_of(&actor("ali")).unwrap()[0].due_ms, 9);
        assert_eq!(&*journal.value("empty").unwrap().unwrap(), [0]);
        assert_eq!(journal.outbox(None, 9).unwrap()[1].tried.attempts, 4);
    }
}
