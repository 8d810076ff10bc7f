//! Exports, read back by those who read them.

use host_journal::{Entry, Journal, Options, Record, Rows};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn journal(events: &[(&str, &str)]) -> (TempDir, Journal<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.db");
    let journal = Journal::open(Options { path }, drop).unwrap();
    for (seq, (actor, event)) in (1..).zip(events) {
        let record = Record {
            actor: format!("{actor}-{seq}").parse().unwrap(),
            seq: 1,
            version: "0.1.0".parse().unwrap(),
            time_ms: 1_767_225_600_000 + seq,
            command: "donate".to_owned(),
            payload: "{}".into(),
            event: (*event).to_owned().into(),
            principal: "treasurer".to_owned(),
            idempotency_key: Some("gift-1".to_owned()),
            effects: EFFECTS.into(),
        };
        let rows = Rows {
            record: Some(record),
            ..Rows::default()
        };
        let incarnation = journal.incarnation();
        let entry = Entry {
            incarnation,
            rows,
            token: (),
        };
        journal.append(entry).unwrap();
    }
    journal.close();
    (folder, journal)
}

fn exported(journal: &Journal<()>, query: &ExportQuery) -> String {
    let mut out = Vec::new();
    export(journal.trail().unwrap(), query, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn query(format: ExportFormat) -> ExportQuery {
    ExportQuery {
        actor: None,
        since_ms: None,
        format,
    }
}

const EFFECTS: &str = r#"[{"cancel_timer":{"name":"close"}}]"#;

const EVENTS: [(&str, &str); 4] = [
    (
        "donations:a",
        r#"{"donated":{"amount":"5.00","rate":1.10,"donor":"Sara, \"Umm Ali\"\nof Cairo"}}"#,
    ),
    (
        "donations:b",
        r#"{"moved":{"from":{"fund":"zakat"},"actor":"x","tags":[1,2],"note":null}}"#,
    ),
    ("donations:c", r#""closed""#),
    ("donations:d", r#"{"removed":"asset-1"}"#),
];

#[test]
fn a_line_of_json_has_the_events_name_and_fields_as_they_were_written() {
    let (_folder, journal) = journal(&EVENTS);
    let text = exported(&journal, &query(ExportFormat::Json));
    assert!(
        text.contains(r#""rate":1.10"#),
        "nothing is rounded: {text}"
    );
    let lines: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let named: Vec<_> = lines.iter().map(|l| (&l["event"], &l["fields"])).collect();
    assert_eq!(named[0].0, &json!("donated"));
    assert_eq!(named[0].1["donor"], json!("Sara, \"Umm Ali\"\nof Cairo"));
    assert_eq!(named[2], (&json!("closed"), &json!({})));
    assert_eq!(named[3], (&json!("removed"), &json!({"value": "asset-1"})));
    let first = &lines[0];
    assert_eq!(first["time"], "2026-01-01T00:00:00.001Z");
    assert_eq!(
        (&first["actor"], &first["seq"]),
        (&json!("donations:a-1"), &json!(1))
    );
    assert_eq!(
        (&first["principal"], &first["version"]),
        (&json!("treasurer"), &json!("0.1.0"))
    );
    assert_eq!(first["effects"][0]["cancel_timer"]["name"], "close");
    assert_eq!(
        (&first["position"], first["hash"].as_str().map(str::len)),
        (&json!(1), Some(64))
    );
}

#[test]
fn csv_has_a_column_for_each_field_and_is_read_back_as_it_was() {
    let (_folder, journal) = journal(&EVENTS);
    let text = exported(&journal, &query(ExportFormat::Csv));
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let headings: Vec<_> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        headings,
        [
            "time",
            "actor",
            "seq",
            "event",
            "event.actor",
            "amount",
            "donor",
            "from.fund",
            "note",
            "rate",
            "tags",
            "value",
            "command",
            "principal",
            "idempotency_key",
            "effects",
            "version",
            "position",
            "hash"
        ]
    );
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 4);
    let cell = |row: usize, name: &str| {
        let column = headings.iter().position(|heading| heading == name).unwrap();
        rows[row][column].to_owned()
    };
    assert_eq!(cell(0, "donor"), "Sara, \"Umm Ali\"\nof Cairo");
    assert_eq!(
        (cell(0, "amount"), cell(0, "rate")),
        ("5.00".into(), "1.10".into())
    );
    assert_eq!(
        (cell(1, "from.fund"), cell(1, "event.actor")),
        ("zakat".into(), "x".into())
    );
    assert_eq!(
        (cell(1, "tags"), cell(1, "note")),
        ("[1,2]".into(), String::new())
    );
    assert_eq!(
        (cell(3, "value"), cell(3, "amount")),
        ("asset-1".into(), String::new())
    );
    assert_eq!(cell(0, "effects"), EFFECTS);
}

#[test]
fn an_export_is_of_one_actor_and_since_a_time_if_asked_so() {
    let (_folder, journal) = journal(&EVENTS);
    let of_one = ExportQuery {
        actor: Some("donations:b-2".parse().unwrap()),
        ..query(ExportFormat::Json)
    };
    assert_eq!(exported(&journal, &of_one).lines().count(), 1);
    let late = ExportQuery {
        since_ms: Some(1_767_225_600_003),
        ..query(ExportFormat::Csv)
    };
    let text = exported(&journal, &late);
    assert_eq!(text.lines().count(), 3, "headings and two events: {text}");
    assert!(!text.contains("amount"), "no event has it: {text}");
}

#[test]
fn too_many_fields_stand_in_one_column_as_json() {
    let names: Vec<_> = (0..COLUMNS_MAX + 5)
        .map(|n| format!(r#""f{n:05}":{n}"#))
        .collect();
    let event = format!(r#"{{"many":{{{}}}}}"#, names.join(","));
    let (_folder, journal) = journal(&[("donations:a", &event)]);
    let text = exported(&journal, &query(ExportFormat::Csv));
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let column = reader
        .headers()
        .unwrap()
        .iter()
        .position(|it| it == REST)
        .unwrap();
    let row = reader.records().next().unwrap().unwrap();
    let rest: Value = serde_json::from_str(&row[column]).unwrap();
    assert_eq!(rest.as_object().unwrap().len(), 5);
    assert_eq!(rest["f01004"], "1004");
}

#[test]
fn what_is_no_event_of_serde_is_exported_all_the_same() {
    for (bytes, name, fields) in [
        (&b"\xff"[..], "donate", json!({"value": "\u{fffd}"})),
        (b"[1]", "donate", json!({"value": "[1]"})),
        (b"{}", "donate", json!({})),
        (br#"{"a":1,"b":2}"#, "donate", json!({"a": 1, "b": 2})),
        (br#"{"a":null}"#, "a", json!({})),
    ] {
        let event = Event::of(bytes, "donate");
        let found: Value = serde_json::from_str(event.fields.get()).unwrap();
        assert_eq!((event.name.as_str(), found), (name, fields));
    }
}
