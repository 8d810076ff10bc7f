//! Tables of a document, read.

use std::collections::BTreeMap;

/// A row's cells, by the column's heading.
pub(crate) type Row = BTreeMap<String, String>;

/// The rows of the first table under the heading `heading`.
#[track_caller]
pub(crate) fn table(document: &str, heading: &str) -> Vec<Row> {
    let mut lines = document.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "no heading {heading:?}");
    let mut lines = lines
        .take_while(|line| !line.starts_with("## "))
        .skip_while(|line| !line.starts_with('|'));
    let head = cells(lines.next().unwrap_or_default());
    assert!(!head.is_empty(), "no table under {heading:?}");
    let rows: Vec<Row> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = cells(line);
            assert_eq!(cells.len(), head.len(), "cells of {line:?}");
            head.iter().cloned().zip(cells).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "an empty table under {heading:?}");
    rows
}

/// The texts in backticks, in order.
pub(crate) fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

#[test]
fn a_table_is_read_by_its_headings() {
    let rows = table(
        "# x\n| no | n |\n|---|---|\n| 1 | 2 |\n\n## y\ntext\n\n| a | b |\n|---|---|\n| `p`, `q` | r |\n\n| z |\n",
        "## y",
    );
    assert_eq!(rows.len(), 1);
    assert_eq!(names(&rows[0]["a"]), ["p", "q"]);
    assert_eq!(rows[0]["b"], "r");
}
