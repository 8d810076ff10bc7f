//! Those who are on one topic, and what has changed since they were told. Plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use host_model::Version;
use serde::Serialize;

use crate::outbound::{ConnectionId, Outbound};

/// One who is there, as the others see it.
#[derive(Debug, Serialize)]
pub(super) struct Meta {
    #[serde(skip)]
    pub(super) key: String,
    /// Of this join: no other ever has it.
    pub(super) phx_ref: String,
    /// Since when: Unix seconds, UTC.
    pub(super) online_at: u64,
    /// The version that it has joined under.
    pub(super) version: Version,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    present: BTreeMap<ConnectionId, Present>,
    /// Who has not been told who is there.
    new: BTreeSet<ConnectionId>,
    joins: Vec<Arc<Meta>>,
    leaves: Vec<Arc<Meta>>,
    is_told: bool,
}

#[derive(Debug)]
struct Present {
    meta: Arc<Meta>,
    outbound: Arc<Outbound>,
}

/// What is to be told: JSON, and to whom.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) new: Vec<Arc<Outbound>>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) old: Vec<Arc<Outbound>>,
    pub(super) diff: Option<Vec<u8>>,
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    pub(super) fn enter(&mut self, meta: Meta, outbound: &Arc<Outbound>) {
        let meta = Arc::new(meta);
        self.joins.push(Arc::clone(&meta));
        self.new.insert(outbound.id);
        let outbound = Arc::clone(outbound);
        self.present.insert(outbound.id, Present { meta, outbound });
    }

    /// Whether it was there.
    pub(super) fn leave(&mut self, connection: ConnectionId) -> bool {
        let Some(Present { meta, .. }) = self.present.remove(&connection) else {
            return false;
        };
        self.new.remove(&connection);
        let joined = self.joins.len();
        self.joins.retain(|joined| !Arc::ptr_eq(joined, &meta));
        // Of one who has come and gone nobody needs to hear.
        if self.joins.len() == joined {
            self.leaves.push(meta);
        }
        true
    }

    /// Whether a task must begin to tell; there is one at a time.
    pub(super) fn begin_telling(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// Takes what has changed; with nothing, the telling is over.
    pub(super) fn changes(&mut self) -> Option<Changes> {
        let new = std::mem::take(&mut self.new);
        let joins = std::mem::take(&mut self.joins);
        let leaves = std::mem::take(&mut self.leaves);
        if joins.is_empty() && leaves.is_empty() && new.is_empty() {
            self.is_told = false;
            return None;
        }
        let (to_new, to_old): (Vec<_>, Vec<_>) = self
            .present
            .iter()
            .partition(|(connection, _)| new.contains(connection));
        let state = (!to_new.is_empty()).then(|| {
            let all = self.present.values().map(|present| &present.meta);
            to_json(&by_key(all))
        });
        let diff = (!to_old.is_empty()).then(|| {
            to_json(&Diff {
                joins: by_key(&joins),
                leaves: by_key(&leaves),
            })
        });
        let outbounds = |of: Vec<(_, &Present)>| {
            let each = of
                .into_iter()
                .map(|(_, it): (&ConnectionId, _)| &it.outbound);
            each.cloned().collect()
        };
        Some(Changes {
            new: outbounds(to_new),
            state,
            old: outbounds(to_old),
            diff,
        })
    }
}

#[derive(Serialize)]
struct Diff<'a> {
    joins: ByKey<'a>,
    leaves: ByKey<'a>,
}

type ByKey<'a> = BTreeMap<&'a str, Metas<'a>>;

#[derive(Default, Serialize)]
struct Metas<'a> {
    metas: Vec<&'a Meta>,
}

/// As clients know it: `{key: {metas: [...]}}`.
fn by_key<'a>(metas: impl IntoIterator<Item = &'a Arc<Meta>>) -> ByKey<'a> {
    let mut by_key = ByKey::new();
    for meta in metas {
        by_key.entry(&meta.key).or_default().metas.push(meta);
    }
    by_key
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn enters(crowd: &mut Crowd, key: &str, connection: ConnectionId) {
        let meta = Meta {
            key: key.to_owned(),
            phx_ref: format!("r{connection}"),
            online_at: 7,
            version: Version::new(0, 1, 0),
        };
        crowd.enter(meta, &Outbound::new(connection));
    }

    fn meta(phx_ref: &str) -> Value {
        json!({"phx_ref": phx_ref, "online_at": 7, "version": "0.1.0"})
    }

    fn json_of(bytes: Option<Vec<u8>>) -> Value {
        bytes.map_or(Value::Null, |it| serde_json::from_slice(&it).unwrap())
    }

    fn ids(of: &[Arc<Outbound>]) -> Vec<ConnectionId> {
        of.iter().map(|it| it.id).collect()
    }

    #[test]
    fn who_comes_is_told_who_is_there_and_the_others_what_has_changed() {
        let mut crowd = Crowd::default();
        enters(&mut crowd, "ali", 1);
        assert!(crowd.begin_telling() && !crowd.begin_telling());
        let first = crowd.changes().unwrap();
        assert_eq!((ids(&first.new), ids(&first.old)), (vec![1], vec![]));
        assert_eq!(
            json_of(first.state),
            json!({"ali": {"metas": [meta("r1")]}})
        );
        assert_eq!(first.diff, None);

        enters(&mut crowd, "ali", 2);
        enters(&mut crowd, "sara", 3);
        let second = crowd.changes().unwrap();
        assert_eq!((ids(&second.new), ids(&second.old)), (vec![2, 3], vec![1]));
        let joins = json!({"ali": {"metas": [meta("r2")]}, "sara": {"metas": [meta("r3")]}});
        assert_eq!(json_of(second.diff), json!({"joins": joins, "leaves": {}}));
        let state =
            json!({"ali": {"metas": [meta("r1"), meta("r2")]}, "sara": {"metas": [meta("r3")]}});
        assert_eq!(json_of(second.state), state);

        assert!(crowd.leave(1) && !crowd.leave(1));
        let third = crowd.changes().unwrap();
        assert_eq!((ids(&third.new), ids(&third.old)), (vec![], vec![2, 3]));
        let leaves = json!({"ali": {"metas": [meta("r1")]}});
        assert_eq!(json_of(third.diff), json!({"joins": {}, "leaves": leaves}));
        assert!(crowd.changes().is_none() && crowd.begin_telling());
    }

    #[test]
    fn of_one_who_has_come_and_gone_nobody_hears() {
        let mut crowd = Crowd::default();
        enters(&mut crowd, "ali", 1);
        crowd.changes().unwrap();
        enters(&mut crowd, "sara", 2);
        crowd.leave(2);
        assert!(crowd.changes().is_none());
        // Who joins anew is another one, and is told anew.
        crowd.leave(1);
        enters(&mut crowd, "ali", 1);
        let again = crowd.changes().unwrap();
        assert_eq!((ids(&again.new), again.old.len()), (vec![1], 0));
    }
}
