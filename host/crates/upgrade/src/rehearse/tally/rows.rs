//! Fields, and how many actors each is told of.
//!
//! Keys of a map are written as the fields of a state are, and nothing but their number
//! tells the two apart: where actors have more than [`REHEARSAL_NAMES_MAX`] names in one place, they are
//! told as one, `state.totals.*`.

use std::collections::{BTreeMap, BTreeSet};

use host_model::ActorId;
use host_model::control::FieldRow;
use host_model::limits::{REHEARSAL_NAMED_MAX, REHEARSAL_NAMES_MAX};
use host_proof::rehearsal::Law;
use host_proof::without_places;

/// What all fields are called that are not named.
const OTHERS: &str = "(others)";

/// What stands for any name.
const ANY: &str = "*";

/// Places whose names are counted: beyond them names are told as they are.
const PLACES_MAX: usize = 4_096;

/// Plugin, law and field.
type Key = (String, Law, String);

/// See the module.
#[derive(Default)]
pub(super) struct Rows {
    rows: BTreeMap<Key, FieldRow>,
    /// By fields in which one name is any.
    places: BTreeMap<Key, Place>,
}

/// Fields of which one name differs.
struct Place {
    names: BTreeSet<String>,
    /// Whether they are told as one: they are too many, here or in one actor.
    is_any: bool,
    /// All of them as one, as long as they are not.
    row: FieldRow,
}

/// Counts what was found of one actor: for each row once.
pub(super) struct Counting<'a> {
    rows: &'a mut Rows,
    actor: &'a ActorId,
    counted: BTreeSet<Key>,
}

impl Rows {
    pub(super) fn of<'a>(&'a mut self, actor: &'a ActorId) -> Counting<'a> {
        Counting {
            rows: self,
            actor,
            counted: BTreeSet::new(),
        }
    }

    /// In the order of plugins, laws and fields.
    pub(super) fn into_rows(self) -> Vec<FieldRow> {
        self.rows.into_values().collect()
    }

    /// A field as it is told, where some of its names are any.
    fn folded(&self, (plugin, law, mut field): Key) -> Key {
        for at in 1.. {
            let Some(any) = with_any(&field, at) else {
                break;
            };
            let key = (plugin.clone(), law, any);
            if self.places.get(&key).is_some_and(|it| it.is_any) {
                field = key.2;
            }
        }
        (plugin, law, field)
    }

    /// Under which key a field is told that has a row, or gets one: what breaks one law of one
    /// plugin in many fields keeps nothing else from being named, and what is not named is
    /// told as one.
    fn told_as(&self, key: Key) -> Key {
        let of_its_kind = |it: &&Key| (&it.0, it.1) == (&key.0, key.1);
        let named = || self.rows.keys().filter(of_its_kind).count();
        match self.rows.contains_key(&key) || named() < REHEARSAL_NAMED_MAX {
            true => key,
            false => (key.0, key.1, OTHERS.to_owned()),
        }
    }

    /// The rows of `place` are one from now on.
    fn fold(&mut self, place: &Key) {
        let is_of_it = |key: &Key| {
            let mut ways = (1..).map_while(|at| with_any(&key.2, at));
            (&key.0, key.1) == (&place.0, place.1) && ways.any(|any| any == place.2)
        };
        self.rows.retain(|key, _| !is_of_it(key));
        if let Some(it) = self.places.get(place) {
            self.rows.insert(place.clone(), it.row.clone());
        }
    }
}

impl Counting<'_> {
    /// A field, and what was found there.
    pub(super) fn add(&mut self, law: Law, field: &str, found: &str) {
        let plain = without_places(field);
        let key = (self.actor.plugin().to_owned(), law, plain);
        let mut key = self.rows.folded(key);
        let mut at = 1;
        while let Some(any) = with_any(&key.2, at) {
            let place = (key.0.clone(), law, any);
            if self.comes_to(&place, name(&key.2, at), field, found) {
                self.rows.fold(&place);
                key = place;
            }
            at += 1;
        }
        let key = self.rows.told_as(key);
        if self.counted.insert(key.clone()) {
            let row = row(&key, self.actor, field, found);
            let rows = &mut self.rows.rows;
            rows.entry(key).or_insert(row).actors += 1;
        }
    }

    /// Counts a name of a place. Gives whether it is the one by which all are told as one.
    fn comes_to(&mut self, place: &Key, name: &str, field: &str, found: &str) -> bool {
        let places = &mut self.rows.places;
        if places.len() >= PLACES_MAX && !places.contains_key(place) {
            return false;
        }
        let it = places.entry(place.clone()).or_insert_with(|| Place {
            names: BTreeSet::new(),
            is_any: false,
            row: row(place, self.actor, field, found),
        });
        if it.is_any {
            return false;
        }
        it.names.insert(name.to_owned());
        it.row.actors += u64::from(self.counted.insert(place.clone()));
        it.is_any = name == ANY || it.names.len() > REHEARSAL_NAMES_MAX;
        it.is_any
    }
}

/// A row of nobody yet.
fn row((plugin, law, told): &Key, actor: &ActorId, field: &str, found: &str) -> FieldRow {
    FieldRow {
        plugin: plugin.clone(),
        law: law.name().to_owned(),
        field: told.clone(),
        actors: 0,
        example: actor.clone(),
        found: match field == told || found.is_empty() {
            true => found.to_owned(),
            false => format!("{field}: {found}"),
        },
    }
}

/// A field with any name at this place; none where it has no such place.
fn with_any(field: &str, at: usize) -> Option<String> {
    let mut names: Vec<_> = field.split('.').collect();
    *names.get_mut(at)? = ANY;
    Some(names.join("."))
}

fn name(field: &str, at: usize) -> &str {
    field.split('.').nth(at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each actor with what differs in it, as `field actors`.
    fn told(actors: &[Vec<String>]) -> Vec<String> {
        let mut rows = Rows::default();
        for (n, fields) in actors.iter().enumerate() {
            let actor = format!("p:{n}").parse().unwrap();
            let mut counting = rows.of(&actor);
            for field in fields {
                counting.add(Law::Shadow, field, "1 before, 2 after");
            }
        }
        let rows = rows.into_rows().into_iter();
        rows.map(|row| format!("{} {}", row.field, row.actors))
            .collect()
    }

    #[test]
    fn a_map_whose_keys_differ_from_actor_to_actor_is_told_as_one_field() {
        let totals = |n: usize| {
            let key = |key| format!("state.totals.d{key}");
            let mut fields: Vec<_> = (n * 10..n * 10 + 10).map(key).collect();
            fields.push("state.count".to_owned());
            fields
        };
        let actors: Vec<_> = (0..20).map(totals).collect();
        assert_eq!(told(&actors), ["state.count 20", "state.totals.* 20"]);
        // What lies below the keys is told apart.
        let gift = |n: usize| {
            let below = |name: &str| format!("state.gifts.g{n}.{name}");
            vec![below("amount"), below("notes[3]")]
        };
        let actors: Vec<_> = (0..20).map(gift).collect();
        assert_eq!(
            told(&actors),
            ["state.gifts.*.amount 20", "state.gifts.*.notes[] 20"]
        );
        // One actor alone may say so.
        let [one, any, other] = ["d1", "*", "d2"].map(|key| vec![format!("state.totals.{key}")]);
        assert_eq!(told(&[one, any, other]), ["state.totals.* 3"]);
    }

    #[test]
    fn as_many_names_as_a_state_may_have_fields_are_told_as_they_are() {
        let fields = |of: usize| (0..of).map(|n| format!("state.f{n:02}")).collect();
        let told_of = |of: usize| told(&[fields(of), fields(of)]);
        assert_eq!(told_of(REHEARSAL_NAMES_MAX).len(), REHEARSAL_NAMES_MAX);
        assert!(
            told_of(REHEARSAL_NAMES_MAX)
                .iter()
                .all(|row| row.ends_with(" 2"))
        );
        assert_eq!(told_of(REHEARSAL_NAMES_MAX + 1), ["state.* 2"]);
    }

    #[test]
    fn an_example_says_which_of_the_names_it_is_of() {
        let mut rows = Rows::default();
        let actor = "p:a".parse().unwrap();
        let mut counting = rows.of(&actor);
        for n in 0..=REHEARSAL_NAMES_MAX {
            counting.add(Law::Carry, &format!("state.totals.d{n}"), "it is gone");
        }
        let rows = rows.into_rows();
        let [row] = &rows[..] else {
            panic!("they are one");
        };
        assert_eq!((&*row.field, row.actors), ("state.totals.*", 1));
        assert_eq!(row.found, "state.totals.d0: it is gone");
    }
}
