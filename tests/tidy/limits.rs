//! `docs/limits.md` has every bound of the host, for whoever has a package and no source.
//! `UPDATE_GOLDEN=1` writes it anew.

use std::fmt::Write as _;
use std::{env, fs};

use crate::tree::{read, root};

/// The page, as a path from the root.
const PAGE: &str = "docs/limits.md";

/// Where bounds stand, each with its heading.
const SOURCES: [(&str, &str); 2] = [
    ("host/crates/model/src/limits.rs", "The host"),
    ("host/crates/gateway/src/limits.rs", "Connections"),
];

#[test]
fn the_page_of_limits_has_every_bound_as_it_is() {
    let page = page();
    assert!(page.lines().count() > 100, "{page}");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(PAGE), &page).unwrap();
    }
    assert!(
        fs::read_to_string(root().join(PAGE)).unwrap_or_default() == page,
        "{PAGE} is not what the sources say: UPDATE_GOLDEN=1 cargo test -p e2e --test tidy limits"
    );
}

fn page() -> String {
    let mut page =
        "# Limits\n\nEvery bound of the host, by its name in the sources, with its unit \
         and its reason.\nWhat an operator may set has a variable: see \
         [configuration](operate.md#configuration).\n"
            .to_owned();
    for (source, heading) in SOURCES {
        let _ = write!(
            page,
            "\n## {heading}\n\n| bound | value | of what, and why |\n|---|---|---|\n"
        );
        for bound in bounds(&read(source)) {
            let Bound { name, value, about } = bound;
            let _ = writeln!(page, "| `{name}` | {value} | {about} |");
        }
    }
    page
}

struct Bound {
    name: String,
    value: String,
    about: String,
}

/// The public constants of a source, in its order.
fn bounds(source: &str) -> Vec<Bound> {
    let mut bounds = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let constant = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        if let Some(doc) = line.strip_prefix("///") {
            about.push(doc.trim());
        } else if let Some(constant) = constant.strip_prefix("const ") {
            let mut whole = constant.to_owned();
            while !whole.ends_with(';') {
                whole.push_str(lines.next().expect("a constant ends with `;`"));
            }
            let (name, rest) = whole.split_once(':').expect("a constant has a type");
            let (kind, value) = rest.split_once('=').expect("a constant has a value");
            let value = value.trim().trim_end_matches(';').trim();
            bounds.push(Bound {
                name: name.to_owned(),
                value: shown(kind.trim(), value),
                about: plain(&about.join(" ")),
            });
            about.clear();
        } else {
            about.clear();
        }
    }
    bounds
}

/// A value as a person would write it; an expression stays one.
fn shown(kind: &str, value: &str) -> String {
    let bytes = |power: &str| match power {
        "10" => Some("KiB"),
        "20" => Some("MiB"),
        "30" => Some("GiB"),
        _ => None,
    };
    if let Some((number, power)) = value.split_once(" << ")
        && let Some(unit) = bytes(power)
        && number.parse::<u32>().is_ok()
    {
        return format!("{number} {unit}");
    }
    let within = |call: &str| value.strip_prefix(call)?.strip_suffix(')');
    if let Some(seconds) = within("Duration::from_secs(") {
        return duration(seconds);
    }
    if let Some(ms) = within("Duration::from_millis(") {
        return format!("{} ms", grouped(ms));
    }
    match kind {
        "Duration" => format!("`{value}`"),
        _ if value
            .bytes()
            .all(|b| b.is_ascii_digit() || b"._".contains(&b)) =>
        {
            grouped(value)
        }
        _ => format!("`{value}`"),
    }
}

fn duration(seconds: &str) -> String {
    match seconds {
        "3_600" => "1 h".to_owned(),
        _ => match seconds.strip_suffix(" * 3_600") {
            Some(hours) => match hours.strip_suffix(" * 24") {
                Some(days) => format!("{days} days"),
                None => format!("{hours} h"),
            },
            None => format!("{} s", grouped(seconds)),
        },
    }
}

fn grouped(number: &str) -> String {
    number.replace('_', ",")
}

/// Without links, which lead into the sources.
fn plain(about: &str) -> String {
    let mut text = about.replace('|', "\\|");
    while let Some(at) = text.find("`](") {
        let end = text[at..].find(')').map_or(text.len(), |end| at + end + 1);
        text.replace_range(at + 1..end, "");
    }
    text.replace("[`", "`").replace("`]", "`")
}
