//! A database brought up to date, and left alone again.

use std::path::Path;

use super::{Before, Examined, examine, keep_log, lock, place, refuse_if_missed, schema};
use crate::Migrated;
use crate::error::OpenError;
use crate::files::beside;
use crate::witness::Witness;

/// See [`crate::migrate()`].
pub(crate) fn migrate(path: &Path, witness: Option<&Path>) -> Result<Migrated, OpenError> {
    let missing = || OpenError::Missing {
        path: path.to_owned(),
    };
    let witness = witness.map(Witness::open).transpose()?;
    let path = match path.exists() {
        true => &place(path)?,
        false => {
            refuse_if_missed(path, witness.as_ref())?;
            return Err(missing());
        }
    };
    let _lock = lock::Lock::take(&beside(path, ".lock"))?;
    let Examined {
        mut connection,
        version,
        before,
    } = examine(path, witness.as_ref())?;
    let Before {
        own, file: _file, ..
    } = before.ok_or_else(missing)?;
    schema::prepare(&mut connection, version)?;
    // Whoever closes it last moves the log, which then is not missed.
    let noted = witness.filter(|it| it.knows(&own.store_id));
    if noted.is_none_or(|it| it.note_file(&own.store_id, own.end(), own.epoch, false)) {
        keep_log(&connection, false)?;
    }
    Ok(Migrated {
        from: version,
        to: schema::newest().max(version),
    })
}
