//! How a name and a payload become a variant, and how they do not.

use serde::Deserialize;

use super::{names, parse};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Command {
    Add {
        by: i64,
        note: Option<String>,
    },
    PayIn(Slip),
    Stop,
    Tagged {
        id: String,
        #[serde(flatten)]
        slip: Slip,
    },
    Pair(i64, i64),
}

#[derive(Debug, Deserialize, PartialEq)]
struct Slip {
    amount: String,
}

fn refused(event: &str, payload: &str) -> (String, String) {
    let rejection = parse::<Command>(event, payload.as_bytes()).unwrap_err();
    (rejection.reason.into_owned(), rejection.message)
}

fn slip() -> Slip {
    Slip {
        amount: "5".to_owned(),
    }
}

#[test]
fn a_known_event_is_read_by_its_fields() {
    let add = |payload: &str| parse::<Command>("add", payload.as_bytes()).unwrap();
    assert_eq!(add(r#"{"by":2}"#), Command::Add { by: 2, note: None });
    let unknown_fields = r#" {"later":[1,{"by":3}],"by":2,"note":null} "#;
    assert_eq!(add(unknown_fields), Command::Add { by: 2, note: None });
    let paid = parse::<Command>("pay_in", br#"{"amount":"5","more":1}"#).unwrap();
    assert_eq!(paid, Command::PayIn(slip()));
    let tagged = parse::<Command>("tagged", br#"{"id":"a","amount":"5","more":1}"#).unwrap();
    assert_eq!(
        tagged,
        Command::Tagged {
            id: "a".to_owned(),
            slip: slip()
        }
    );
}

#[test]
fn an_empty_payload_is_an_empty_object() {
    assert_eq!(parse::<Command>("stop", b"").unwrap(), Command::Stop);
    let (reason, message) = refused("add", "");
    assert!(
        reason == "bad_payload" && message.contains("`by`"),
        "{message}"
    );
}

#[test]
fn a_unit_variant_takes_any_payload() {
    for payload in ["{}", r#"{"more":1}"#, "null"] {
        assert_eq!(
            parse::<Command>("stop", payload.as_bytes()).unwrap(),
            Command::Stop
        );
    }
    assert_eq!(refused("stop", "{").0, "bad_payload");
}

#[test]
fn an_unknown_event_is_told_what_is_known() {
    for event in ["subtract", "", "Add", "add "] {
        let (reason, message) = refused(event, r#"{"by":2}"#);
        assert_eq!(reason, "unknown_event");
        assert!(message.contains("add, pay_in, stop"), "{message}");
    }
}

#[test]
fn a_bad_payload_is_refused_and_its_fault_named() {
    for payload in [
        r#"{"by":"2"}"#,
        r#"{"by":2"#,
        r#"{"by":2} {}"#,
        r#"{"by":2,"by":3}"#,
        "[2,null]",
        "2",
        "null",
        "\u{1}",
    ] {
        let (reason, message) = refused("add", payload);
        assert_eq!(reason, "bad_payload", "{payload}");
        assert!(
            message.starts_with(r#"the payload of "add": "#),
            "{message}"
        );
    }
    for payload in [r#"["5"]"#, r#" ["5"]"#, r#""5""#] {
        assert_eq!(refused("pay_in", payload).0, "bad_payload");
        assert_eq!(refused("tagged", payload).0, "bad_payload");
    }
    assert_eq!(refused("pair", "[1,2]").0, "bad_payload");
    let rejection = parse::<Command>("add", b"{\"by\":2,\"note\":\"\xff\"}").unwrap_err();
    assert_eq!(rejection.reason, "bad_payload");
}

#[test]
fn an_empty_payload_and_an_empty_object_are_the_same_to_every_variant() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Wrapper(Filter);
    #[derive(Debug, Deserialize, PartialEq)]
    struct Filter {
        #[serde(default)]
        from: Option<i64>,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Query {
        All {},
        Unit,
        Maybe(Option<Filter>),
        Wrapped(Wrapper),
        List(Vec<i64>),
        Needs { from: i64 },
    }
    for event in ["all", "unit", "maybe", "wrapped", "list", "needs"] {
        let of = |payload: &[u8]| parse::<Query>(event, payload).map_err(|e| e.reason);
        assert_eq!(of(b""), of(b"{}"), "{event}");
    }
    let wrapped = parse::<Query>("wrapped", b"").unwrap();
    assert_eq!(wrapped, Query::Wrapped(Wrapper(Filter { from: None })));
}

#[test]
fn the_names_of_an_enum_are_known_without_one() {
    assert_eq!(
        names::<Command>(),
        ["add", "pay_in", "stop", "tagged", "pair"]
    );
    assert!(names::<Slip>().is_empty());
}
