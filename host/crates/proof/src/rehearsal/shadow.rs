//! Commands and queries in both versions, side by side.

use std::collections::BTreeSet;
use std::mem;

use bytes::Bytes;
use host_loader::{Call, Caller, State, Verdict, convert};
use host_model::effect::{Effect, Rejection};

use super::judge::{Case, Stopped, under};
use super::{By, Law, PROBLEMS_MAX, Said};
use crate::crossing::{Crossing, Stuck};
use crate::difference::Difference;
use crate::fields::{Declared, all_differing, changed_names, gone, texts, undeclared};
use crate::value::{Value, decode};

/// Times that commands which only one version takes are left out and the rest is tried
/// again.
const AGREED_WITHIN: usize = 8;

/// What a version says to a command.
enum Word {
    /// It has no handler for it in this state, or says no.
    Refused(Rejection),
    /// The reply, and whether something happened.
    Accepted(Bytes, bool),
}

impl Case<'_> {
    /// `shadow` for commands: C on S in the old version, and on F(S) in the new one.
    pub(super) fn shadow(&mut self, mut old: Crossing, mut new: Crossing) -> Result<(), Stopped> {
        let here = under(Law::Shadow);
        // Who comes after the switch has a key much like these.
        self.trace(format_args!("new in {}", self.way.to.version()));
        let anew = self.way.to.new_state(self.subject.actor.key());
        drop(anew.map_err(Stuck::from).map_err(&here)?);
        let (mut old_seq, mut new_seq) = (self.begin_seq(), self.begin_seq());
        for said in &self.subject.commands {
            self.trace(format_args!(
                "{:?} in {}",
                said.event,
                self.way.from.version()
            ));
            let one = self
                .say(&mut old.state, said, &mut old_seq)
                .map_err(&here)?;
            self.trace(format_args!(
                "{:?} in {}",
                said.event,
                self.way.to.version()
            ));
            let other = self.say_cast(&mut new.state, said, &mut new_seq);
            let other = other.map_err(|Stuck(text)| {
                let text = format!("{:?} broke in the new version: {text}", said.event);
                (Law::Shadow, Stuck(text))
            })?;
            self.found.commands += 1;
            self.words(&said.event, &one, &other);
        }
        old.bytes = old.state.export().map_err(Stuck::from).map_err(&here)?;
        new.bytes = new.state.export().map_err(Stuck::from).map_err(&here)?;
        if let Some(returned) = self.back_of(&new)
            && old.bytes != returned.bytes
            && let (Some(one), Some(other)) = (decode(&old.bytes), decode(&returned.bytes))
        {
            self.undeclared(|declared| undeclared("state", &one, &other, PROBLEMS_MAX, declared));
        }
        Ok(())
    }

    /// `shadow` for the queries that need no arguments.
    pub(super) fn queries(&mut self, old: &Crossing, new: &Crossing) -> Result<(), Stopped> {
        let way = self.way;
        for name in &way.from.manifest().queries {
            self.trace(format_args!("{name:?} in both"));
            let call = Call {
                key: self.subject.actor.key(),
                event: name,
                payload: b"{}",
                claims: b"",
                now_ms: self.now_ms(),
                seed: self.seed(),
                seq: self.begin_seq(),
                caller: Caller::CLIENT,
                hops: 0,
            };
            // What the old version does not answer is no query without arguments.
            let Ok(Ok(one)) = old.state.query(&call) else {
                continue;
            };
            let other = self.query_cast(new, &call).map_err(|Stuck(text)| {
                let text = format!("{name:?} broke in the new version: {text}");
                (Law::Shadow, Stuck(text))
            })?;
            self.words(name, &Word::Accepted(one, false), &other);
        }
        Ok(())
    }

    /// A query as the new version hears it, from a client that knows the old one.
    fn query_cast(&self, new: &Crossing, call: &Call<'_>) -> Result<Word, Stuck> {
        let payload = Bytes::copy_from_slice(call.payload);
        let cast = match convert(self.way.shapes(), call.event, &payload)? {
            Err(rejection) => return Ok(Word::Refused(rejection)),
            Ok(cast) => cast,
        };
        let (event, payload) = match &cast {
            Some((event, payload)) => (&**event, &**payload),
            None => (call.event, call.payload),
        };
        if !(self.way.to.manifest().queries.iter()).any(|it| it == event) {
            let message = format!("{event:?} is no query of the new version");
            return Ok(Word::Refused(Rejection {
                reason: "unknown_event".to_owned(),
                message,
            }));
        }
        let call = Call {
            event,
            payload,
            ..*call
        };
        let reply = new.state.query(&call)?;
        Ok(reply.map_or_else(Word::Refused, |reply| Word::Accepted(reply, false)))
    }

    /// C on both, but for what only one of them takes. Gives what the old version came
    /// to, and the bytes of what the new one did. None: nothing happened in both, so there
    /// is nothing to compare.
    pub(super) fn both(
        &mut self,
        old: &Crossing,
        new: &Crossing,
    ) -> Result<Option<(Crossing, Bytes)>, Stuck> {
        let mut left_out = BTreeSet::new();
        for _ in 0..AGREED_WITHIN {
            let mut one = old.again(&self.way.from)?;
            let mut other = new.again(&self.way.to)?;
            let (mut old_seq, mut new_seq) = (self.rest_from().0, self.rest_from().0);
            let before = left_out.len();
            let mut happened = 0;
            for said in self.rest() {
                if left_out.contains(&said.seq) {
                    continue;
                }
                self.trace(format_args!("{:?} behind a down", said.event));
                let here = self.say(&mut one.state, said, &mut old_seq)?;
                let there = self.say_cast(&mut other.state, said, &mut new_seq)?;
                if here.happened() != there.happened() {
                    left_out.insert(said.seq);
                }
                happened += u32::from(here.happened());
            }
            if left_out.len() == before {
                if happened == 0 {
                    return Ok(None);
                }
                one.bytes = one.state.export()?;
                let moved = other.state.export()?;
                return Ok(Some((one, moved)));
            }
        }
        Ok(None)
    }

    /// Where `again` has not what `new` had, though C does not touch it: what C touches
    /// is what differs between `new` and `moved`, and an entry that it calls by its name
    /// and changes there. Where it changes none of that name there, it may be one that it
    /// changes in the old version, from `down` to `old`.
    pub(super) fn lost(
        &self,
        (new, moved, again): (&[u8], &[u8], &[u8]),
        (down, old): (&[u8], &[u8]),
    ) -> Vec<Difference> {
        let named = || {
            let mut named = BTreeSet::new();
            for said in self.rest() {
                if let Ok(payload) = serde_json::from_slice(&said.payload) {
                    texts(&payload, &mut named);
                }
            }
            named
        };
        lost((new, moved, again), (down, old), named)
    }

    fn say(&self, state: &mut State, said: &Said, seq: &mut u64) -> Result<Word, Stuck> {
        let spoken = self.spoken(state, said, self.call(said, *seq), seq)?;
        Ok(spoken.0)
    }

    /// As the new version hears it, and what it tells as those hear it who know the old one.
    fn say_cast(&self, state: &mut State, said: &Said, seq: &mut u64) -> Result<Word, Stuck> {
        let cast = convert(self.way.shapes(), &said.event, &said.payload)?;
        let call = self.call(said, *seq);
        let (event, payload) = match &cast {
            Ok(Some((event, payload))) => (&**event, &**payload),
            Ok(None) => (call.event, call.payload),
            Err(rejection) => return Ok(Word::Refused(rejection.clone())),
        };
        let call = Call {
            event,
            payload,
            ..call
        };
        let (word, effects) = self.spoken(state, said, call, seq)?;
        for effect in &effects {
            if let Effect::Broadcast { event, payload } = effect {
                let payload = Bytes::copy_from_slice(payload.get().as_bytes());
                // What the old one has nothing like, nobody hears.
                let _heard = convert(self.way.shapes_back(), event, &payload)?;
            }
        }
        Ok(word)
    }

    fn spoken(
        &self,
        state: &mut State,
        said: &Said,
        call: Call<'_>,
        seq: &mut u64,
    ) -> Result<(Word, Vec<Effect>), Stuck> {
        let verdict = match said.by {
            By::Timer => state.timer(&call)?,
            By::Client | By::Actor => state.handle(&call)?,
        };
        Ok(match verdict {
            Verdict::Rejected(rejection) => (Word::Refused(rejection), Vec::new()),
            Verdict::Accepted(accepted) => {
                let happened = accepted.event.is_some();
                *seq += u64::from(happened);
                (Word::Accepted(accepted.reply, happened), accepted.effects)
            }
        })
    }

    fn words(&mut self, event: &str, one: &Word, other: &Word) {
        self.found.ask(Law::Shadow);
        self.undeclared(|declared| match (one, other) {
            (Word::Accepted(one, _), Word::Accepted(other, _)) => {
                replies(event, one, other, declared)
            }
            (Word::Refused(one), Word::Refused(other)) if one.reason == other.reason => Vec::new(),
            (one, other) => but_for(event, one.told(), other.told(), declared),
        });
    }

    /// Takes down what differs between the versions, and what may and does.
    fn undeclared(&mut self, differ: impl FnOnce(&mut Declared<'_>) -> Vec<Difference>) {
        let mut declared = Declared {
            may: &self.way.declared,
            found: mem::take(&mut self.found.declared),
        };
        let differ = differ(&mut declared);
        self.found.declared = declared.found;
        for difference in differ {
            self.differs(Law::Shadow, &difference);
        }
    }
}

impl Word {
    fn happened(&self) -> bool {
        matches!(self, Self::Accepted(_, true))
    }

    fn told(&self) -> String {
        match self {
            Self::Refused(rejection) => format!("refused ({})", rejection.reason),
            Self::Accepted(..) => "accepted".to_owned(),
        }
    }
}

fn replies(event: &str, one: &[u8], other: &[u8], declared: &mut Declared<'_>) -> Vec<Difference> {
    if one == other {
        return Vec::new();
    }
    let read = |bytes| serde_json::from_slice::<Value<'_>>(bytes).ok();
    match (read(one), read(other)) {
        (Some(one), Some(other)) => undeclared(event, &one, &other, PROBLEMS_MAX, declared),
        (None, None) => Vec::new(),
        (one, _) => {
            let told = |is: bool| if is { "JSON" } else { "no JSON" }.to_owned();
            but_for(event, told(one.is_some()), told(one.is_none()), declared)
        }
    }
}

/// The one difference, unless it is declared.
fn but_for(
    field: &str,
    one: String,
    other: String,
    declared: &mut Declared<'_>,
) -> Vec<Difference> {
    if declared.takes(field, PROBLEMS_MAX) {
        return Vec::new();
    }
    vec![Difference {
        field: field.to_owned(),
        one,
        other,
    }]
}

/// See [`Case::lost`]; `named` gives the texts that C has.
fn lost(
    (new, moved, again): (&[u8], &[u8], &[u8]),
    (down, old): (&[u8], &[u8]),
    named: impl FnOnce() -> BTreeSet<String>,
) -> Vec<Difference> {
    let touched = match (decode(new), decode(moved)) {
        (Some(new), Some(moved)) => all_differing("state", &new, &moved),
        _ => BTreeSet::new(),
    };
    // Each place by itself: that C touches one says nothing of those beside it. What came on
    // top is no loss.
    let mut lost = match (decode(new), decode(again)) {
        (Some(new), Some(again)) => gone("state", &new, &again),
        _ => Vec::new(),
    };
    lost.retain(|it| !is_touched(&it.field, &touched));
    if !lost.is_empty() {
        let changed = match (decode(down), decode(old)) {
            (Some(down), Some(old)) => changed_names(&down, &old),
            _ => BTreeSet::new(),
        };
        let is_shown = |name: &str| {
            let mut entries = touched.iter().flat_map(|field| entries_of(field, name));
            entries.next().is_some()
        };
        let named = named().into_iter();
        let named: Vec<_> = named
            .map(|name| (changed.contains(&name) && !is_shown(&name), name))
            .collect();
        let changes = |field: &str, (below, name): &(bool, String)| {
            let mut entries = entries_of(field, name);
            entries.any(|entry| *below || is_touched(entry, &touched))
        };
        lost.retain(|it| !named.iter().any(|name| changes(&it.field, name)));
        lost.truncate(PROBLEMS_MAX);
    }
    lost
}

/// Whether a field, or what it lies in, or something in it is touched.
fn is_touched(field: &str, touched: &BTreeSet<String>) -> bool {
    let inside = |outer: &str, inner: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let ends = field.match_indices(['.', '[']).map(|(at, _)| at);
    let mut lies_in = ends.chain([field.len()]).map(|end| &field[..end]);
    lies_in.any(|outer| touched.contains(outer))
        || touched
            .range(field.to_owned()..)
            .take_while(|it| it.starts_with(field))
            .any(|it| inside(field, it))
}

/// The ways up to those steps of the field's way that are this text.
fn entries_of<'a>(field: &'a str, text: &str) -> impl Iterator<Item = &'a str> {
    let places = match text {
        "" => Vec::new(),
        text => field.match_indices(text).map(|(at, _)| at).collect(),
    };
    let length = text.len();
    places.into_iter().filter_map(move |at| {
        let (entry, rest) = field.split_at(at + length);
        let before = field[..at].ends_with(['.', '[', '"']);
        let is_step = before && (rest.is_empty() || rest.starts_with(['.', '[', ']', '"']));
        is_step.then_some(entry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_touches_excuses_what_lies_around_it_and_no_more() {
        let touched = BTreeSet::from(["state.gifts.d7.fund".to_owned(), "state.total".to_owned()]);
        for (field, is) in [
            ("state.total", true),
            ("state.total.USD", true),
            ("state.totals", false),
            ("state.gifts.d7", true),
            ("state.gifts.d7.fund", true),
            ("state.gifts.d8", false),
            ("state.gifts", true),
        ] {
            assert_eq!(is_touched(field, &touched), is, "{field}");
        }
        let entry = |field, text| entries_of(field, text).next();
        assert_eq!(
            entry("state.payments.p5.money", "p5"),
            Some("state.payments.p5")
        );
        assert_eq!(entry("state.payments.p5", "p5"), Some("state.payments.p5"));
        assert_eq!(entry("state.payments.p55", "p5"), None);
        assert_eq!(entry("state.payments", ""), None);
    }

    #[test]
    fn a_name_excuses_the_entries_that_are_changed_and_no_others() {
        let bytes = |json: &str| {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            rmp_serde::to_vec(&value).unwrap()
        };
        let of = |down: &str, old: &str| {
            let new = bytes(r#"{"notes":{"USD":"x","d1":"y"},"sums":{"USD":{"a":1,"b":1}}}"#);
            let moved = bytes(r#"{"notes":{"USD":"x","d1":"y"},"sums":{"USD":{"a":2,"b":1}}}"#);
            let again = bytes(r#"{"notes":{},"sums":{"USD":{"a":2,"b":0}}}"#);
            let named = || BTreeSet::from(["USD".to_owned(), "d1".to_owned()]);
            let found = lost((&new, &moved, &again), (&bytes(down), &bytes(old)), named);
            found.into_iter().map(|it| it.field).collect::<Vec<_>>()
        };
        let both = ["state.notes.USD", "state.notes.d1"];
        assert_eq!(of("{}", "{}"), both);
        // Of `USD` the new version shows that it is the sum which C changes, and no note.
        let [down, old] = [1, 2].map(|a| format!(r#"{{"sums":{{"USD":{{"a":{a},"b":1}}}}}}"#));
        assert_eq!(of(&down, &old), both);
        // The old version has given `d1` another note, and of that the new one knows nothing.
        assert_eq!(of(r#"{"d1":"y"}"#, r#"{"d1":"z"}"#), ["state.notes.USD"]);
    }

    #[test]
    fn a_place_that_a_command_touches_excuses_none_beside_it_where_all_of_them_are_gone() {
        let bytes = |json: &str| {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            rmp_serde::to_vec(&value).unwrap()
        };
        let new = bytes(r#"{"extra":{"total":1,"notes":["x"],"none":{}}}"#);
        let moved = bytes(r#"{"extra":{"total":2,"notes":["x"],"none":{}}}"#);
        for again in [r#"{"extra":null}"#, "{}", r#"{"extra":[2]}"#] {
            let found = lost((&new, &moved, &bytes(again)), (&[], &[]), BTreeSet::new);
            let found: Vec<_> = found.into_iter().map(|it| it.field).collect();
            assert_eq!(
                found,
                ["state.extra.none", "state.extra.notes[0]"],
                "{again}"
            );
        }
    }

    #[test]
    fn replies_that_are_the_same_value_do_not_differ() {
        let replies = |one: &str, other: &str| {
            let mut none = Declared::default();
            super::replies("add", one.as_bytes(), other.as_bytes(), &mut none)
        };
        assert_eq!(replies("{\"a\": 1}", "{\"a\":1}"), []);
        assert_eq!(replies("1", "x")[0].other, "no JSON");
        assert_eq!(replies("{\"a\":1}", "{\"a\":2}")[0].field, "add.a");
    }

    #[test]
    fn a_difference_that_is_declared_is_named_and_no_more() {
        let may = ["add.funds".to_owned(), "sub".to_owned()];
        let mut declared = Declared {
            may: &may,
            found: Vec::new(),
        };
        let one = b"{\"a\":1,\"funds\":{\"x\":1}}";
        let other = b"{\"a\":2,\"funds\":{\"x\":2}}";
        let differ = replies("add", one, other, &mut declared);
        assert_eq!(differ.len(), 1);
        assert_eq!(differ[0].field, "add.a");
        assert_eq!(replies("sub", b"1", b"x", &mut declared), []);
        replies("add", one, other, &mut declared);
        assert_eq!(declared.found, ["add.funds.x", "sub"]);
    }
}
