//! From the text of an appup to its content, or to all that is wrong with it.

use std::ops::Range;

use semver::{Version, VersionReq};
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Appup, Instruction, Path, Probation, Problem};
use crate::id::is_plugin_name;
use crate::limits::{APPUP_TIMEOUT_MAX, PAUSE_BUDGET_DEFAULT};
use crate::suggest::nearest;

mod from;
mod ways;

const FILE_KEYS: [&str; 5] = ["plugin", "version", "depends_on", "path", "probation"];
const PATH_KEYS: [&str; 5] = ["from", "up", "down", "declared", "pause_budget_ms"];
const PROBATION_KEYS: [&str; 5] = [
    "window_s",
    "min_calls",
    "max_fault_rate",
    "max_p99_ratio",
    "max_rejection_rate",
];

type Value<'a> = Spanned<DeValue<'a>>;
type Table<'a> = DeTable<'a>;

pub(super) fn read(file: &str, text: &str) -> Result<Appup, Vec<Problem>> {
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let appup = reader.appup(file, table.get_ref());
        if reader.problems.is_empty() {
            return Ok(appup);
        }
    }
    for error in errors {
        reader.wrong(error.span().unwrap_or_default(), error.message());
    }
    reader.problems.sort_by_key(|problem| problem.line);
    Err(reader.problems)
}

struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: Range<usize>, text: impl Into<String>) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        self.problems.push(Problem {
            line: before.matches('\n').count() + 1,
            text: text.into(),
        });
    }

    /// Says of each key that is none of `known`, and which it might be.
    fn only(&mut self, table: &Table<'_>, known: &[&str], what: &str) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let text = format!(
                    "`{name}` is no key of {what}{}; there are: {}",
                    suggestion(name, known),
                    known.join(", ")
                );
                self.wrong(key.span(), text);
            }
        }
    }

    /// A value that is not what it should be.
    fn not(&mut self, key: &str, value: &Value<'_>, wanted: &str) {
        let found = shown(value);
        self.wrong(
            value.span(),
            format!("{key} = {found}, which is no {wanted}"),
        );
    }

    fn appup(&mut self, file: &str, table: &Table<'_>) -> Appup {
        self.only(table, &FILE_KEYS, "an appup");
        let plugin = self.plugin(table);
        let version = self.version(table);
        if let (Some((plugin, at)), Some((version, _))) = (&plugin, &version) {
            let named = format!("{plugin}-{version}.toml");
            if file != named {
                let text = format!(
                    "it is the appup of {plugin} {version}, so its file should be called {named}"
                );
                self.wrong(at.clone(), text);
            }
        }
        let plugin = plugin.map(|(plugin, _)| plugin).unwrap_or_default();
        let known = version.map(|(version, _)| version);
        let version = known.clone().unwrap_or(Version::new(0, 0, 0));
        let depends_on = self.depends_on(table, &plugin);
        let paths = match table.get("path") {
            None => Vec::new(),
            Some(value) => self.paths(value, known.as_ref()),
        };
        let probation = match table.get("probation") {
            None => Probation::default(),
            Some(value) => self.probation(value),
        };
        Appup {
            plugin,
            version,
            depends_on,
            paths,
            probation,
        }
    }

    fn plugin(&mut self, table: &Table<'_>) -> Option<(String, Range<usize>)> {
        const RIGHT: &str = "plugin's name (1 to 64 of a-z 0-9 - _)";
        let Some(value) = table.get("plugin") else {
            self.wrong(0..0, "it does not say whose it is; write plugin = \"NAME\"");
            return None;
        };
        match value.get_ref().as_str() {
            Some(name) if is_plugin_name(name) => Some((name.to_owned(), value.span())),
            _ => {
                self.not("plugin", value, RIGHT);
                None
            }
        }
    }

    fn version(&mut self, table: &Table<'_>) -> Option<(Version, Range<usize>)> {
        let Some(value) = table.get("version") else {
            let text = "it does not say of which version it is; write version = \"0.2.0\"";
            self.wrong(0..0, text);
            return None;
        };
        let version = value.get_ref().as_str().and_then(|text| text.parse().ok());
        if version.is_none() {
            self.not("version", value, "version; write it as \"0.2.0\"");
        }
        version.map(|version| (version, value.span()))
    }

    fn depends_on(&mut self, table: &Table<'_>, plugin: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let found = table.get("depends_on");
        for (name, at) in found.map_or(Vec::new(), |it| self.texts("depends_on", it)) {
            if !is_plugin_name(&name) {
                let text = format!("depends_on names {name:?}, which is no plugin's name");
                self.wrong(at, text);
            } else if name == plugin {
                let text = format!("{plugin} depends on itself; take it out of depends_on");
                self.wrong(at, text);
            } else if names.contains(&name) {
                self.wrong(at, format!("depends_on names {name} twice"));
            } else {
                names.push(name);
            }
        }
        names
    }

    /// An array of texts.
    fn texts(&mut self, key: &str, value: &Value<'_>) -> Vec<(String, Range<usize>)> {
        const WANTED: &str = "list of texts; write it as [\"one\", \"two\"]";
        let Some(array) = value.get_ref().as_array() else {
            self.not(key, value, WANTED);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text.to_owned(), item.span())),
                None => self.not(key, item, WANTED),
            }
        }
        texts
    }

    fn paths(&mut self, value: &Value<'_>, version: Option<&Version>) -> Vec<Path> {
        const WANTED: &str = "list of paths; begin each with [[path]]";
        let Some(array) = value.get_ref().as_array() else {
            self.not("path", value, WANTED);
            return Vec::new();
        };
        let mut paths: Vec<Path> = Vec::new();
        for item in array.iter() {
            let Some(table) = item.get_ref().as_table() else {
                self.not("path", item, WANTED);
                continue;
            };
            let path = self.path(item.span(), table);
            if !path.is_between_versions() && paths.iter().any(|it| !it.is_between_versions()) {
                let text = "a second path adds or removes the plugin; one says it for all";
                self.wrong(item.span(), text);
            }
            if let Some(version) = version {
                self.check_from(table, &path, &paths, version);
            }
            paths.push(path);
        }
        paths
    }

    /// Whether there can be a version that the path leads from, and that no path before it
    /// takes first.
    fn check_from(&mut self, table: &Table<'_>, path: &Path, others: &[Path], version: &Version) {
        let Some(value) = table.get("from").filter(|_| path.is_between_versions()) else {
            return;
        };
        // What cannot be read is told of already.
        if value.get_ref().as_str().and_then(|it| it.parse().ok()) != Some(path.from.clone()) {
            return;
        }
        let others = others.iter().filter(|it| it.is_between_versions());
        let others: Vec<_> = others.map(|other| &other.from).collect();
        if from::first(&path.from, &[], version).is_none() {
            let wanted = format!(
                "requirement that a version before {version} can meet; write which versions the path leads from, as in \"~0.1\""
            );
            self.not("from", value, &wanted);
        } else if from::first(&path.from, &others, version).is_none() {
            let text = format!(
                "from = {}: of two paths that match a version the first counts, and those before this one match all that it does; put it before them, or narrow them",
                shown(value)
            );
            self.wrong(value.span(), text);
        }
    }

    fn path(&mut self, at: Range<usize>, table: &Table<'_>) -> Path {
        self.only(table, &PATH_KEYS, "a path");
        let up = match table.get("up") {
            Some(value) => self.way("up", value),
            None => {
                let text = "the path has no up; write up = [{ update = \"state\" }], or load = \"code\" where only the code changes";
                self.wrong(at.clone(), text);
                Vec::new()
            }
        };
        let down = match table.get("down") {
            Some(value) => self.way("down", value),
            None => Vec::new(),
        };
        let declared = match table.get("declared") {
            Some(value) => self.declared(value),
            None => Vec::new(),
        };
        let pause_budget_ms = match table.get("pause_budget_ms") {
            Some(value) => self.milliseconds("pause_budget_ms", value, 100),
            None => milliseconds(PAUSE_BUDGET_DEFAULT),
        };
        let mut path = Path {
            from: VersionReq::STAR,
            up,
            down,
            declared,
            pause_budget_ms,
        };
        let whole = self.check_whole(&at, &path);
        match table.get("from") {
            Some(value) if whole => {
                let text = "a plugin that is added comes from no version; take from out";
                self.wrong(value.span(), text);
            }
            Some(value) => path.from = self.from(value),
            None if whole => {}
            None => {
                let text = "the path does not say from which versions it leads; write from = \"~0.1\", as in Cargo.toml";
                self.wrong(at, text);
            }
        }
        path
    }

    fn declared(&mut self, value: &Value<'_>) -> Vec<String> {
        let mut fields = Vec::new();
        for (field, at) in self.texts("declared", value) {
            if field.trim().is_empty() {
                let text = format!(
                    "declared has {field:?}, which names no field; name one, as in \"summary.funds\", or take it out"
                );
                self.wrong(at, text);
            }
            fields.push(field);
        }
        fields
    }

    /// Whether the path is one by which the plugin comes and goes.
    fn check_whole(&mut self, at: &Range<usize>, path: &Path) -> bool {
        let has = |way: &[Instruction], it: &Instruction| way.contains(it);
        let adds = has(&path.up, &Instruction::Add);
        let removes = has(&path.down, &Instruction::Remove);
        if has(&path.up, &Instruction::Remove) || has(&path.down, &Instruction::Add) {
            let text = "a plugin is added on the way up and removed on the way down: write up = [{ add = \"plugin\" }] and down = [{ remove = \"plugin\" }]";
            self.wrong(at.clone(), text);
            return true;
        }
        if (adds || removes) && !(adds && (removes || path.down.is_empty())) {
            let text = "the path adds or removes the plugin on one of its ways only; write up = [{ add = \"plugin\" }] and down = [{ remove = \"plugin\" }]";
            self.wrong(at.clone(), text);
        }
        adds || removes
    }

    fn from(&mut self, value: &Value<'_>) -> VersionReq {
        let from: Option<VersionReq> = value.get_ref().as_str().and_then(|it| it.parse().ok());
        let Some(from) = from else {
            let wanted = "requirement on versions; write it as in Cargo.toml: \"~0.1\", \"=0.1.3\", \">=0.1, <0.3\"";
            self.not("from", value, wanted);
            return VersionReq::STAR;
        };
        from
    }

    /// A number of milliseconds from 1 to the longest that anything may take, as `such`.
    fn milliseconds(&mut self, key: &str, value: &Value<'_>, such: u64) -> u64 {
        let most = milliseconds(APPUP_TIMEOUT_MAX);
        let number = value.get_ref().as_integer();
        let number = number.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
        match number {
            Some(ms) if (1..=most).contains(&ms) => ms,
            _ => {
                let wanted =
                    format!("number of milliseconds from 1 to {most}; write {key} = {such}");
                self.not(key, value, &wanted);
                1
            }
        }
    }

    fn probation(&mut self, value: &Value<'_>) -> Probation {
        const COUNT: &str = "whole number from 0 on; write it as 60";
        const RATE: &str = "rate from 0 to 1; write 0.01 for one in a hundred";
        const RATIO: &str = "number from 1 on; write 2.0 for twice as slow";
        let Some(table) = value.get_ref().as_table() else {
            self.not("probation", value, "table; begin it with [probation]");
            return Probation::default();
        };
        self.only(table, &PROBATION_KEYS, "[probation]");
        let usual = Probation::default();
        let any = |_: &u64| true;
        // A rate that is no number is never exceeded, and one below 0 always.
        let rate = |it: &f64| (0.0..=1.0).contains(it);
        let ratio = |it: &f64| it.is_finite() && *it >= 1.0;
        Probation {
            window_s: self.of_probation(table, "window_s", any, COUNT, usual.window_s),
            min_calls: self.of_probation(table, "min_calls", any, COUNT, usual.min_calls),
            max_fault_rate: self.of_probation(
                table,
                "max_fault_rate",
                rate,
                RATE,
                usual.max_fault_rate,
            ),
            max_p99_ratio: self.of_probation(
                table,
                "max_p99_ratio",
                ratio,
                RATIO,
                usual.max_p99_ratio,
            ),
            max_rejection_rate: self.of_probation(
                table,
                "max_rejection_rate",
                rate,
                RATE,
                usual.max_rejection_rate,
            ),
        }
    }

    /// One value of `[probation]`; `usual` where it is not there, or is not what it should be.
    fn of_probation<T: DeserializeOwned>(
        &mut self,
        table: &Table<'_>,
        key: &str,
        is_right: impl Fn(&T) -> bool,
        wanted: &str,
        usual: T,
    ) -> T {
        let Some(value) = table.get(key) else {
            return usual;
        };
        match T::deserialize(value.clone().into_deserializer()) {
            Ok(read) if is_right(&read) => read,
            _ => {
                self.not(&format!("[probation] {key}"), value, wanted);
                usual
            }
        }
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `; did you mean …?`, if one of `known` is near enough.
fn suggestion(found: &str, known: &[&str]) -> String {
    match nearest(found, known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// A value as it stands in the file, or what it is.
fn shown(value: &Value<'_>) -> String {
    match value.get_ref() {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[…]".to_owned(),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}
