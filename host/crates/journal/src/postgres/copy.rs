//! A copy of the store in a file: every row as it is at one moment, in one transaction
//! that only reads. Rows come one by one, so only one is in memory, and no commit waits.

use std::borrow::Cow;
use std::future::Future;
use std::path::Path;
use std::pin::pin;

use futures_util::TryStreamExt;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::pool::{Pool, Unreadable};
use super::reader::get;
use super::session::{Session, Trouble};
use super::{answers, schema};
use crate::error::{OpenError, StoreError};
use crate::sqlite::{Filling, describe_copy};
use crate::store::{Copier, Describe};
use crate::tables::{self, ANSWERS, Kind, Table, Value};

const COPY: &str = "read all of the store";

impl Copier for Pool {
    fn copy_to(&self, file: &Path, describe: &mut Describe<'_>) -> Result<(), StoreError> {
        match self.frozen_session() {
            Some(_) => Moment { pool: self }.copy_to(file)?,
            // Gone when its rows are there: it holds back what VACUUM may remove.
            None => Moment {
                pool: &self.frozen()?,
            }
            .copy_to(file)?,
        }
        describe_copy(file, describe)
    }
}

/// The store as it was at one moment.
pub(super) struct Moment<'a> {
    pub(super) pool: &'a Pool,
}

impl Moment<'_> {
    fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        self.must_be_known()?;
        let filling = Filling::begin(file)?;
        for table in tables::all() {
            let mut adding = filling.table(table)?;
            self.each(table, |row| adding.add(row))?;
            drop(adding);
            if table.is_numbered {
                filling.number_above(table, self.numbered(table)?)?;
            }
        }
        filling.end()
    }

    /// A copy without what only a newer host knows of would be none.
    fn must_be_known(&self) -> Result<(), StoreError> {
        let known = schema::newest();
        let found = self.answered(schema::applied(self.session()))?;
        match found > known {
            true => Err(StoreError::of(COPY)(OpenError::NewerSchema {
                found,
                known,
            })),
            false => Ok(()),
        }
    }

    /// Hands on each row of a table, in the order in which the server finds them: most
    /// stand as they were written, and none is sorted with its body.
    fn each(
        &self,
        table: &Table,
        mut each: impl FnMut(&[Value<'_>]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let is_answers = *table == ANSWERS;
        let id = if is_answers { ", id" } else { "" };
        let sql = format!("SELECT {}{id} FROM {}", table.names(), table.name);
        self.rows(&sql, |row| {
            let values = values(table, row).map_err(StoreError::of(COPY))?;
            if !is_answers {
                return each(&values);
            }
            let id = get(row, table.columns.len()).map_err(StoreError::of(COPY))?;
            with_key(id, values).map_or(Ok(()), |values| each(&values))
        })
    }

    /// Hands on each row of a statement; one is in memory.
    pub(super) fn rows(
        &self,
        sql: &str,
        mut each: impl FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let client = self.session().client();
        let rows = self.answered(async {
            let statement = client.prepare(sql).await?;
            let none: [&(dyn ToSql + Sync); 0] = [];
            Ok(client.query_raw(&statement, none).await?)
        })?;
        let mut rows = pin!(rows);
        while let Some(row) = self.answered(async { Ok(rows.try_next().await?) })? {
            each(&row)?;
        }
        Ok(())
    }

    /// Reads on behind a statement that was refused.
    pub(super) fn go_on(&self) -> Result<(), StoreError> {
        let back = "ROLLBACK TO SAVEPOINT begun";
        self.answered(async { Ok(self.session().client().batch_execute(back).await?) })
    }

    /// The highest number that the table has given; 0 before the first.
    fn numbered(&self, table: &Table) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('{}', 'id')::regclass),
             0)",
            table.name
        );
        let row =
            self.answered(async { Ok(self.session().client().query_one(&sql, &[]).await?) })?;
        get(&row, 0).map_err(StoreError::of(COPY))
    }

    fn session(&self) -> &Session {
        self.pool
            .frozen_session()
            .expect("a moment is of a frozen pool")
    }

    /// Waits for an answer of the server, for as long as one may take.
    fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, StoreError> {
        let bound = self.pool.timing().answer;
        let answered = self.pool.wait(async { timeout(bound, answer).await });
        let answered = answered.unwrap_or_else(|_| Err(Trouble::slow()));
        answered.map_err(|trouble| trouble.of(COPY))
    }
}

fn values<'a>(table: &Table, row: &'a Row) -> Result<Vec<Value<'a>>, Unreadable> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(index, column)| value(row, index, column.kind))
        .collect()
}

/// A value as one of ours.
pub(super) fn value(row: &Row, index: usize, kind: Kind) -> Result<Value<'_>, Unreadable> {
    let value = match kind {
        Kind::Number => get::<Option<i64>>(row, index)?.map(Value::Number),
        Kind::Count => {
            let count = get::<Option<i32>>(row, index)?;
            count.map(|it| Value::Number(it.cast_unsigned().into()))
        }
        Kind::Flag => get::<Option<bool>>(row, index)?.map(|it| Value::Number(it.into())),
        Kind::Text => {
            let text = get::<Option<&str>>(row, index)?;
            text.map(|it| Value::Text(Cow::Borrowed(it)))
        }
        Kind::Bytes => get::<Option<&[u8]>>(row, index)?.map(Value::Bytes),
    };
    Ok(value.unwrap_or(Value::Null))
}

/// A row of answers with the key that it was kept under, which `id` tells: the texts in
/// the table lack zero characters. None where that cannot be told any more.
fn with_key<'a>(id: &[u8], mut row: Vec<Value<'a>>) -> Option<Vec<Value<'a>>> {
    let key: Vec<&str> = answers::key(&row).collect();
    if answers::id_of(&key)[..] == *id {
        return Some(row);
    }
    let Some(texts) = answers::with_zeros(id, &key) else {
        tracing::warn!(
            actor = key.first(),
            "an answer is left out of the copy: its key has zero characters that cannot be told from others any more"
        );
        return None;
    };
    for (value, text) in row.iter_mut().zip(texts) {
        *value = Value::Text(Cow::Owned(text));
    }
    Some(row)
}
