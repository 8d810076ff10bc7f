//! Of the names of fields, and of what differs in them.

use std::collections::BTreeMap;

use super::*;

fn value(json: &str) -> Value<'_> {
    serde_json::from_str(json).unwrap()
}

fn fields(one: &str, other: &str) -> Vec<String> {
    let found = differing("", &value(one), &value(other), 32);
    found.into_iter().map(|it| it.field).collect()
}

#[test]
fn each_place_that_differs_is_named() {
    assert_eq!(
        fields(r#"{"a":1,"b":[1,2]}"#, r#"{"a":1,"b":[1,2]}"#),
        [""; 0]
    );
    let found = fields(
        r#"{"a":1,"b":[1,{"x":2}],"gone":0}"#,
        r#"{"a":2,"b":[1,{"x":3},4],"new":0}"#,
    );
    assert_eq!(found, ["a", "b[1].x", "b[2]", "gone", "new"]);
    assert_eq!(fields("1", "2"), [""]);
    // The order of entries is part of a canonical state.
    assert_eq!(fields(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#), [""]);
}

#[test]
fn what_has_changed_is_called_by_its_name() {
    let names = |one, other| {
        let found = changed_names(&value(one), &value(other));
        found.into_iter().collect::<Vec<_>>()
    };
    let one = r#"{"gifts":{"d1":{"of":"a","in":"USD"},"d2":1},"sums":{"USD":1}}"#;
    let other = r#"{"gifts":{"d1":{"of":"b","in":"USD"},"d3":1},"sums":{"USD":1}}"#;
    assert_eq!(names(one, other), ["d1", "d2", "d3", "gifts", "of"]);
    assert_eq!(names(one, one), [""; 0]);
    // In a list it is any of the texts.
    assert_eq!(
        names(
            r#"[{"id":"d1","n":1}]"#,
            r#"[{"id":"d1","n":2},{"id":"d2"}]"#
        ),
        ["d1", "d2"]
    );
}

#[test]
fn a_field_that_is_named_covers_what_lies_below_it() {
    let named = ["summary.funds".to_owned(), "state.ledger[].fund".to_owned()];
    for (field, covered) in [
        ("summary.funds", true),
        ("summary.funds.zakat.USD", true),
        ("summary.funds[2]", true),
        ("summary.fundsx", false),
        ("summary", false),
        ("state.ledger[7].fund", true),
        ("state.ledger[7].amount", false),
    ] {
        assert_eq!(is_below(field, &named), covered, "{field}");
    }
    assert_eq!(without_places("a[3].b[12][x]"), "a[].b[][x]");
}

#[test]
fn no_more_than_a_bound_is_told() {
    let text = |of: u32| {
        let in_a_map = |map: u32| {
            let entries: Vec<_> = (0..16).map(|n| format!("\"m{map}n{n}\":{of}")).collect();
            format!("\"m{map}\":{{{}}}", entries.join(","))
        };
        let maps: Vec<_> = (0..16).map(in_a_map).collect();
        format!("{{{}}}", maps.join(","))
    };
    assert_eq!(fields(&text(1), &text(2)).len(), 32);
}

#[test]
fn many_places_in_a_list_or_keys_of_a_map_keep_nothing_else_from_being_named() {
    let state = |of: u32| {
        let totals: BTreeMap<_, _> = (0..1_000).map(|n| (format!("d{n:03}"), of)).collect();
        let ledger: Vec<_> = (0..1_000)
            .map(|_| BTreeMap::from([("amount", of)]))
            .collect();
        let state = serde_json::json!({ "ledger": ledger, "totals": totals, "z": of });
        state.to_string()
    };
    let (one, other) = (state(1), state(2));
    let found = fields(&one, &other);
    assert_eq!(found.len(), 1 + REHEARSAL_NAMES_MAX + 1 + 1, "{found:?}");
    assert_eq!(
        (&*found[0], &*found[1]),
        ("ledger[0].amount", "totals.d000")
    );
    assert_eq!(found[REHEARSAL_NAMES_MAX + 1..], ["totals.*", "z"]);
    // Each of them is looked for where all are wanted, or one is declared.
    let all = all_differing("", &value(&one), &value(&other));
    assert_eq!(all.len(), 2_001);
    let may = ["totals.d900".to_owned()];
    let mut declared = Declared {
        may: &may,
        found: Vec::new(),
    };
    undeclared("", &value(&one), &value(&other), 32, &mut declared);
    assert_eq!(declared.found, ["totals.*"]);
}
