//! The tables of a store as data: what is copied when a store of one kind becomes one of
//! another. A copy has these columns, of all rows; a test holds the list against the
//! schemas of both stores, so that a column of a later schema is not forgotten.
//!
//! Not among them is what a store has for itself: which migrations were applied, and in
//! PostgreSQL who owns it.

use std::borrow::Cow;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 64 bits; a position or a sequence above 2^63 is negative.
    Number,
    /// 32 bits, without a sign; negative in PostgreSQL from 2^31 on.
    Count,
    /// 0 or 1.
    Flag,
    /// UTF-8; without a zero character in PostgreSQL.
    Text,
    /// Bytes, up to some hundred MiB.
    Bytes,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// The same in both stores.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) may_lack: bool,
}

impl Column {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            may_lack: false,
        }
    }

    const fn may_lack(self) -> Self {
        Self {
            may_lack: true,
            ..self
        }
    }
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    /// The same in both stores.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// Whether the store gives its rows numbers, none of them twice.
    pub(crate) is_numbered: bool,
}

impl Table {
    const fn new(name: &'static str, columns: &'static [Column]) -> Self {
        Self {
            name,
            columns,
            is_numbered: false,
        }
    }

    /// The names of its columns, each as `each` has it, with commas between.
    pub(crate) fn listed(&self, each: impl Fn(usize, &Column) -> String) -> String {
        let columns = self.columns.iter().enumerate();
        let names: Vec<_> = columns.map(|(index, column)| each(index, column)).collect();
        names.join(", ")
    }

    /// The names of its columns, with commas between.
    pub(crate) fn names(&self) -> String {
        self.listed(|_, column| column.name.to_owned())
    }
}

/// What stands in a column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Of a [`Kind::Number`], [`Kind::Count`] or [`Kind::Flag`].
    Number(i64),
    /// Of a [`Kind::Text`].
    Text(Cow<'a, str>),
    /// Of a [`Kind::Bytes`].
    Bytes(&'a [u8]),
}

const fn number(name: &'static str) -> Column {
    Column::new(name, Kind::Number)
}

const fn count(name: &'static str) -> Column {
    Column::new(name, Kind::Count)
}

const fn text(name: &'static str) -> Column {
    Column::new(name, Kind::Text)
}

const fn bytes(name: &'static str) -> Column {
    Column::new(name, Kind::Bytes)
}

const SHARD: Column = count("shard");

/// See [`crate::sums`].
const SUM: Column = number("sum").may_lack();

/// The store's own row, which is always there: a copy takes its place.
pub(crate) const OWN: Table = Table::new(
    "store",
    &[
        count("id"),
        SHARD,
        text("store_id"),
        number("epoch"),
        number("last_pos"),
        bytes("last_hash"),
        number("known"),
        number("tail_start"),
        SUM,
        number("summed_epoch").may_lack(),
    ],
);

/// Answers under idempotency keys. PostgreSQL finds them by a hash of four of these texts.
pub(crate) const ANSWERS: Table = Table::new(
    "answers",
    &[
        text("actor"),
        text("event"),
        text("principal"),
        text("key"),
        SHARD,
        bytes("digest"),
        bytes("reply"),
        number("seq"),
        number("time_ms"),
        SUM,
    ],
);

/// All tables but the store's own row.
pub(crate) const TABLES: [Table; 10] = [
    Table::new(
        "groups",
        &[
            number("first_pos"),
            SHARD,
            number("last_pos"),
            number("epoch"),
            count("records"),
            number("time_ms"),
            bytes("prev_hash"),
            bytes("hash"),
            bytes("body"),
            Column::new("exact", Kind::Flag),
        ],
    ),
    Table::new(
        "snapshots",
        &[
            number("position"),
            SHARD,
            text("actor"),
            number("seq"),
            text("version"),
            number("time_ms"),
            bytes("body"),
            number("first_piece").may_lack(),
        ],
    ),
    Table::new(
        "snapshot_pieces",
        &[number("first_pos"), count("idx"), SHARD, bytes("body")],
    ),
    Table::new(
        "casts",
        &[
            number("position"),
            count("idx"),
            SHARD,
            text("sender"),
            text("target"),
            text("version"),
            text("event"),
            bytes("payload"),
            count("hops"),
            SUM,
        ],
    ),
    Table::new(
        "timers",
        &[
            text("actor"),
            text("name"),
            SHARD,
            number("due_ms"),
            number("set_at"),
            text("version"),
            bytes("payload"),
            SUM,
        ],
    ),
    Table::new(
        "outbox",
        &[
            number("position"),
            count("idx"),
            SHARD,
            text("actor"),
            text("version"),
            text("name"),
            text("url"),
            count("attempts"),
            number("due_ms"),
            text("error"),
            bytes("body"),
            SUM,
        ],
    ),
    ANSWERS,
    Table {
        is_numbered: true,
        ..Table::new(
            "dead_letters",
            &[
                number("id"),
                SHARD,
                number("position"),
                text("kind"),
                text("actor"),
                text("version"),
                text("event"),
                bytes("payload"),
                text("reason"),
                text("message"),
                number("time_ms"),
                text("origin"),
                SUM,
            ],
        )
    },
    Table::new(
        "quarantine",
        &[
            text("actor"),
            SHARD,
            number("position"),
            text("reason"),
            SUM,
        ],
    ),
    Table::new("kv", &[text("key"), SHARD, bytes("value"), SUM]),
];

/// All that a store has.
pub(crate) fn all() -> impl Iterator<Item = &'static Table> {
    const ALL: (&Table, &[Table]) = (&OWN, &TABLES);
    std::iter::once(ALL.0).chain(ALL.1)
}
