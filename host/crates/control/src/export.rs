//! The audit trail as a book-keeper reads it: one line an event, by name, with its
//! fields. Numbers and texts stand as the plugin wrote them; nothing is rounded.
//!
//! CSV has a column for each field that some event has, so the trail is read twice:
//! once for the columns, once for the lines. Neither keeps more than one event.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::ControlFlow;

use host_journal::{Audited, Position, ReadError, Trail, hex};
use host_model::instant::rfc3339;
use host_model::keep::{ExportFormat, ExportQuery};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

/// Columns of fields, at most: events that use names of things as names of fields
/// would make one for each thing. The rest stands in the column [`REST`], as JSON.
const COLUMNS_MAX: usize = 1_000;

/// How deep objects within an event are taken apart.
const DEPTH_MAX: usize = 8;

/// The columns before and behind those of the fields.
const BEFORE: [&str; 4] = ["time", "actor", "seq", "event"];
const BEHIND: [&str; 7] = [
    "command",
    "principal",
    "idempotency_key",
    "effects",
    "version",
    "position",
    "hash",
];

/// See [`COLUMNS_MAX`].
const REST: &str = "more_fields";

/// An export ended before its end.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The trail cannot be read, or does not hold.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nobody takes it any more.
    #[error("write the export")]
    Write(#[from] io::Error),
}

/// Writes what `query` asks for, and says how many events that were. Each group is
/// checked against the chain before anything of it is written.
///
/// # Errors
///
/// [`ExportError`]; what was written before is right, and not whole.
pub fn export(
    trail: Trail<'_>,
    query: &ExportQuery,
    out: &mut dyn Write,
) -> Result<u64, ExportError> {
    match query.format {
        ExportFormat::Json => json(trail, query, out),
        ExportFormat::Csv => csv(trail, query, out),
    }
}

/// Gives `each` what is asked for; counts it.
fn selected(
    trail: Trail<'_>,
    query: &ExportQuery,
    mut each: impl FnMut(&Audited) -> io::Result<ControlFlow<()>>,
) -> Result<u64, ExportError> {
    let (mut count, mut failed) = (0, None);
    trail.each(query.actor.as_ref(), |audited| {
        if query
            .since_ms
            .is_some_and(|since| audited.record.time_ms < since)
        {
            return ControlFlow::Continue(());
        }
        count += 1;
        each(&audited).unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    match failed {
        None => Ok(count),
        Some(error) => Err(error.into()),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    actor: &'a str,
    seq: u64,
    event: &'a str,
    fields: &'a RawValue,
    command: &'a str,
    principal: &'a str,
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effects: Option<&'a RawValue>,
    version: String,
    position: u64,
    hash: String,
}

fn json(trail: Trail<'_>, query: &ExportQuery, out: &mut dyn Write) -> Result<u64, ExportError> {
    selected(
        trail,
        query,
        |Audited {
             position,
             hash,
             record,
         }| {
            let event = Event::of(&record.event, &record.command);
            let line = Line {
                time: rfc3339(record.time_ms),
                actor: record.actor.as_str(),
                seq: record.seq,
                event: &event.name,
                fields: &event.fields,
                command: &record.command,
                principal: &record.principal,
                idempotency_key: record.idempotency_key.as_deref(),
                // Empty where nothing followed; else the loader has read it as JSON.
                effects: serde_json::from_slice(&record.effects).ok(),
                version: record.version.to_string(),
                position: position.0,
                hash: hex::encode(hash),
            };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
            Ok(ControlFlow::Continue(()))
        },
    )
}

fn csv(trail: Trail<'_>, query: &ExportQuery, out: &mut dyn Write) -> Result<u64, ExportError> {
    let columns = Columns::of(trail, query)?;
    let mut out = ::csv::WriterBuilder::new()
        .terminator(::csv::Terminator::CRLF)
        .from_writer(out);
    out.write_record(columns.headings()).map_err(written)?;
    let count = selected(trail, query, |audited| {
        // What came behind the first reading may have fields without a column.
        if audited.position > columns.last {
            return Ok(ControlFlow::Break(()));
        }
        out.write_record(columns.cells(audited)).map_err(written)?;
        Ok(ControlFlow::Continue(()))
    })?;
    out.flush()?;
    Ok(count)
}

/// What the system said, which `csv` wraps in an error of no kind.
fn written(error: ::csv::Error) -> io::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// The columns of a CSV export.
struct Columns {
    fields: BTreeSet<String>,
    /// Whether there are more fields than columns.
    more: bool,
    /// The last event that they are of.
    last: Position,
}

impl Columns {
    fn of(trail: Trail<'_>, query: &ExportQuery) -> Result<Self, ExportError> {
        let mut columns = Self {
            fields: BTreeSet::new(),
            more: false,
            last: Position(0),
        };
        selected(trail, query, |audited| {
            columns.last = audited.position;
            let record = &audited.record;
            for name in Event::of(&record.event, &record.command)
                .cells()
                .into_keys()
            {
                if columns.fields.len() < COLUMNS_MAX || columns.fields.contains(&name) {
                    columns.fields.insert(name);
                } else {
                    columns.more = true;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(columns)
    }

    fn headings(&self) -> impl Iterator<Item = String> {
        let of_host = |name: &str| BEFORE.contains(&name) || BEHIND.contains(&name);
        let fields = self.fields.iter().map(move |name| match of_host(name) {
            true => format!("event.{name}"),
            false => name.clone(),
        });
        let rest = self.more.then(|| REST.to_owned());
        let before = BEFORE.map(str::to_owned).into_iter();
        before
            .chain(fields)
            .chain(rest)
            .chain(BEHIND.map(str::to_owned))
    }

    fn cells(
        &self,
        Audited {
            position,
            hash,
            record,
        }: &Audited,
    ) -> Vec<String> {
        let event = Event::of(&record.event, &record.command);
        let mut fields = event.cells();
        let mut cells = vec![
            rfc3339(record.time_ms),
            record.actor.to_string(),
            record.seq.to_string(),
            event.name,
        ];
        let columns = self.fields.iter();
        cells.extend(columns.map(|name| fields.remove(name).unwrap_or_default()));
        if self.more {
            let rest = serde_json::to_string(&fields).expect("texts are JSON");
            cells.push(if fields.is_empty() {
                String::new()
            } else {
                rest
            });
        }
        cells.extend([
            record.command.clone(),
            record.principal.clone(),
            record.idempotency_key.clone().unwrap_or_default(),
            String::from_utf8_lossy(&record.effects).into_owned(),
            record.version.to_string(),
            position.0.to_string(),
            hex::encode(hash),
        ]);
        cells
    }
}

/// An event's name and its fields: serde's `{"donated": {"amount": "5.00"}}`.
struct Event {
    name: String,
    /// A JSON object.
    fields: Box<RawValue>,
}

type Object = BTreeMap<String, Box<RawValue>>;

impl Event {
    /// The event in these bytes, which a plugin wrote. One without a name of its own
    /// is called after the command that led to it.
    fn of(bytes: &[u8], command: &str) -> Self {
        let (name, fields) = match serde_json::from_slice::<Object>(bytes) {
            Ok(object) if object.len() == 1 => {
                let (name, value) = object.into_iter().next().expect("it has one");
                let fields = match value.get().as_bytes().first() {
                    Some(b'{') => value,
                    Some(b'n') => raw("{}"),
                    _ => raw(&format!("{{\"value\":{value}}}")),
                };
                (name, fields)
            }
            Ok(_) => {
                let whole = serde_json::from_slice(bytes);
                (command.to_owned(), whole.expect("it was read as an object"))
            }
            Err(_) => match serde_json::from_slice::<String>(bytes) {
                Ok(name) => (name, raw("{}")),
                Err(_) => {
                    let text = String::from_utf8_lossy(bytes);
                    let text = serde_json::to_string(&text).expect("a text is JSON");
                    (command.to_owned(), raw(&format!("{{\"value\":{text}}}")))
                }
            },
        };
        Self { name, fields }
    }

    /// Its fields by name, `funds.zakat` for one within another, as texts.
    fn cells(&self) -> BTreeMap<String, String> {
        let mut cells = BTreeMap::new();
        flatten("", &self.fields, DEPTH_MAX, &mut cells);
        cells
    }
}

fn flatten(name: &str, value: &RawValue, depth: usize, cells: &mut BTreeMap<String, String>) {
    let text = value.get();
    let object = || serde_json::from_str::<Object>(text).ok();
    match text.as_bytes().first() {
        Some(b'{') if depth > 0 => {
            for (key, value) in object().into_iter().flatten() {
                let name = match name {
                    "" => key,
                    name => format!("{name}.{key}"),
                };
                flatten(&name, &value, depth - 1, cells);
            }
        }
        Some(b'"') => {
            let text = serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
            cells.insert(name.to_owned(), text);
        }
        Some(b'n') => {
            cells.insert(name.to_owned(), String::new());
        }
        _ => {
            cells.insert(name.to_owned(), text.to_owned());
        }
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("it is put together of JSON")
}

#[cfg(test)]
mod tests;
