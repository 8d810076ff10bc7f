//! The audit trail, as an operator verifies and exports it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use host_journal::{Anchor, AnchorKey, KeyError, ReadError, Trail, hex};
use host_model::keep::{AnchorRow, ExportFormat, ExportQuery, Proof, Verifying};

use crate::extract::Query;
use crate::problem::Refusal;
use crate::stream::{TELL_EVERY, answer};
use crate::{Control, ExportError};

pub(crate) async fn verify(State(control): State<Arc<Control>>) -> Result<Response, Refusal> {
    answer("application/x-ndjson", move |to| {
        let journal = control.actors.journal();
        let failed = |e: ReadError| Refusal::internal("verify the audit trail", &e);
        let trail = journal.trail().map_err(failed)?;
        let mut say = |said: &Verifying| {
            // Nobody listens any more: nobody wants to know.
            to.document(said)
                .map_or(ControlFlow::Break(()), ControlFlow::Continue)
        };
        let ended = verify_with(trail, journal.store_id(), &control.anchor_key, &mut say);
        let ended = ended.map_err(|e| Refusal::internal("verify the audit trail", &e))?;
        let _gone = say(&ended);
        Ok(())
    })
    .await
}

pub(crate) async fn export(
    State(control): State<Arc<Control>>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Refusal> {
    let content_type = match query.format {
        ExportFormat::Json => "application/x-ndjson",
        ExportFormat::Csv => "text/csv; charset=utf-8",
    };
    answer(content_type, move |to| {
        let failed = |e: &dyn std::error::Error| Refusal::internal("export the audit trail", e);
        let trail = control.actors.journal().trail();
        let trail = trail.map_err(|e| failed(&e))?;
        match crate::export(trail, &query, to) {
            Ok(_) | Err(ExportError::Write(_)) => Ok(()),
            Err(ExportError::Read(error @ (ReadError::Damaged { .. } | ReadError::Chain(_)))) => {
                Err(Refusal::damaged("export the audit trail", &error))
            }
            Err(ExportError::Read(error)) => Err(failed(&error)),
        }
    })
    .await
}

/// Verifies the chain of the store `store_id`. `say` hears how far it is, and may end
/// it. Gives the last word: [`Verifying::Verified`] or [`Verifying::Broken`].
///
/// # Errors
///
/// The store cannot be read, or the key in the file `key` cannot: that says nothing
/// about the chain.
pub fn verify_with(
    trail: Trail<'_>,
    store_id: &str,
    key: &Path,
    say: &mut dyn FnMut(&Verifying) -> ControlFlow<()>,
) -> Result<Verifying, VerifyError> {
    let public_key = AnchorKey::read(key)?.map(|key| key.public());
    let of = trail.end()?.unwrap_or_default().0;
    let mut told = Instant::now();
    let tell = |so_far: &host_journal::Verified| {
        if told.elapsed() < TELL_EVERY {
            return ControlFlow::Continue(());
        }
        told = Instant::now();
        let position = so_far.last.0;
        say(&Verifying::Progress { position, of })
    };
    let anchor = trail.anchor().ok().flatten();
    let foreign = anchor.and_then(|it| foreign(&it, store_id, public_key.as_deref()));
    if let Some(problem) = foreign {
        return Ok(Verifying::Broken {
            problem,
            first: None,
            last: None,
        });
    }
    match trail.verify(tell) {
        Ok(verified) => Ok(Verifying::Verified(Proof {
            store_id: store_id.to_owned(),
            groups: verified.groups,
            records: verified.records,
            position: verified.last.0,
            hash: hex::encode(&verified.hash),
            anchor: verified.anchor.as_ref().map(anchor_row),
            public_key,
        })),
        Err(ReadError::Chain(damage)) => Ok(Verifying::Broken {
            problem: damage.to_string(),
            first: Some(damage.first.0),
            last: Some(damage.last.0),
        }),
        Err(damaged @ ReadError::Damaged { .. }) => Ok(Verifying::Broken {
            problem: damaged.to_string(),
            first: None,
            last: None,
        }),
        Err(error) => Err(error.into()),
    }
}

/// Why the anchor at which the chain of the store `store_id` begins is not this home's,
/// whose key is in the file `key`; none without an anchor, or a key to hold it against.
///
/// # Errors
///
/// As [`verify_with`].
pub fn anchor_problem(
    trail: Trail<'_>,
    store_id: &str,
    key: &Path,
) -> Result<Option<String>, VerifyError> {
    let public_key = AnchorKey::read(key)?.map(|key| key.public());
    let anchor = trail.anchor()?;
    Ok(anchor.and_then(|it| foreign(&it, store_id, public_key.as_deref())))
}

fn foreign(anchor: &Anchor, store_id: &str, public_key: Option<&str>) -> Option<String> {
    let public_key = public_key?;
    let signed_by = hex::encode(&anchor.public_key);
    if signed_by != public_key {
        return Some(format!(
            "the anchor at which the chain begins was signed by the key {signed_by}, and data/anchor.key is of {public_key}: it is forged, or the key is another one than the store's; put the right key back, or restore the store from a backup"
        ));
    }
    (anchor.store_id != store_id).then(|| {
        format!(
            "the anchor at which the chain begins was signed for the store {}, and this is {store_id}; restore the store from a backup",
            anchor.store_id
        )
    })
}

/// A chain could not be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn anchor_row(anchor: &Anchor) -> AnchorRow {
    AnchorRow {
        position: anchor.position.0,
        hash: hex::encode(&anchor.hash),
        groups: anchor.groups,
        records: anchor.records,
        time_ms: anchor.time_ms,
        public_key: hex::encode(&anchor.public_key),
    }
}

#[cfg(test)]
mod tests {
    use host_journal::{Entry, Journal, Options, Position, Record, Rows, Snapshot};
    use host_model::{ActorId, Version};

    use super::*;

    /// A store whose first groups are removed, for which this key has signed.
    fn anchored(path: &Path, key: &AnchorKey) -> Journal<()> {
        let (sender, done) = std::sync::mpsc::channel();
        let journal = Journal::open(
            Options {
                path: path.to_owned(),
            },
            move |entries| entries.into_iter().for_each(|it| sender.send(it).unwrap()),
        )
        .unwrap();
        let commit = |rows: Rows| {
            let entry = Entry {
                incarnation: journal.incarnation(),
                rows,
                token: (),
            };
            journal.append(entry).unwrap();
            done.recv().unwrap().result.unwrap();
        };
        let actor: ActorId = "donations:a".parse().unwrap();
        let version: Version = "0.1.0".parse().unwrap();
        for seq in 1..=4 {
            commit(Rows {
                record: Some(Record {
                    actor: ActorId::clone(&actor),
                    seq,
                    version: Version::clone(&version),
                    time_ms: 1,
                    command: "donate".to_owned(),
                    payload: "{}".into(),
                    event: "{}".into(),
                    principal: String::new(),
                    idempotency_key: None,
                    effects: bytes::Bytes::new(),
                }),
                ..Rows::default()
            });
        }
        commit(Rows {
            snapshot: Some(Snapshot {
                actor,
                seq: 4,
                time_ms: 1,
                version,
                state_schema: 1,
                state: "{}".into(),
                carries: Vec::new(),
            }),
            ..Rows::default()
        });
        let removal = journal.removal(key, Position(4), i64::MAX, 7).unwrap();
        commit(removal.unwrap().rows());
        journal
    }

    #[test]
    fn an_anchor_that_another_key_has_signed_is_a_forged_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| folder.path().join(name);
        let key = AnchorKey::read_or_make(&file("anchor.key")).unwrap();
        AnchorKey::read_or_make(&file("other.key")).unwrap();
        let journal = anchored(&file("host.db"), &key);
        let (trail, id) = (journal.trail().unwrap(), journal.store_id());
        let verified = |id, key| {
            let said = verify_with(trail, id, &file(key), &mut |_| ControlFlow::Continue(()));
            let problem = anchor_problem(trail, id, &file(key)).unwrap();
            let holds = matches!(said.unwrap(), Verifying::Verified(_));
            assert_eq!(holds, problem.is_none());
            problem.unwrap_or_default()
        };
        assert_eq!(verified(id, "anchor.key"), "");
        assert_eq!(
            verified(id, "no.key"),
            "",
            "there is nothing to hold it against"
        );
        assert!(verified(id, "other.key").contains("forged"));
        assert!(verified("another", "anchor.key").contains("for the store"));
    }
}
