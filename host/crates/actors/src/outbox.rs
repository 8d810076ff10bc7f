//! The outbox: webhooks are rows of the journal, sent at least once, each under a key
//! that stays the same.
//!
//! A row is inserted with the record that caused it, so nothing is sent that did not
//! happen; it is deleted when its receiver has taken it, and what is sent between the
//! two and a crash is sent again. `plan` says what follows from an attempt; a
//! [`Courier`] makes it.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use host_journal::{
    Consumed, DeadLetter, DeadLetterKind, Origin, OutboxChange, OutboxId, OutboxRow, ReadError,
    Rows, Tried,
};
use host_model::error::chain;
use host_model::limits::{
    OUTBOX_ATTEMPTS_MAX, OUTBOX_IN_FLIGHT_MAX, OUTBOX_PER_SERVER_MAX, OUTBOX_TIMEOUT,
    OUTBOX_WAIT_MAX, OUTBOX_WAIT_MIN,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::unix_ms;
use crate::{Actors, seed};

/// Rows read at a time, without their bodies.
const PAGE: usize = 256;

/// Pages of one look: it goes on from there with the next.
const PAGES_MAX: usize = 16;

/// The longest sleep between two looks, in case the clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Between two looks when more is due than may be under way.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Takes webhooks to their receivers. The actors know no protocol.
pub trait Courier: Send + Sync + 'static {
    /// Makes one attempt. It is given up after [`OUTBOX_TIMEOUT`]. The error says, in
    /// a sentence for an operator, why the receiver has not taken it.
    fn deliver(&self, delivery: Delivery) -> Attempt;
}

/// One attempt to send a webhook.
pub type Attempt = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `http://` or `https://`.
    pub url: String,
    /// By which the receiver knows a repetition: `store/position/index`.
    pub key: String,
    /// What the plugin calls it; may be empty.
    pub name: String,
    /// JSON.
    pub body: Bytes,
}

/// Takes nothing anywhere: for hosts without webhooks, and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCourier;

impl Courier for NoCourier {
    fn deliver(&self, _: Delivery) -> Attempt {
        Box::pin(std::future::ready(
            Err("this host sends nothing".to_owned()),
        ))
    }
}

/// How long a webhook is tried for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts before it becomes a dead letter.
    pub attempts_max: u32,
    /// Wait behind the first; it doubles with each.
    pub wait_min: Duration,
    /// The longest wait.
    pub wait_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts_max: OUTBOX_ATTEMPTS_MAX,
            wait_min: OUTBOX_WAIT_MIN,
            wait_max: OUTBOX_WAIT_MAX,
        }
    }
}

impl Patience {
    /// The wait behind so many failed attempts, at least 1: doubled with each, and
    /// then between half and all of it, so that what failed together is not tried
    /// together for ever. `random` is any number.
    fn wait(&self, attempts: u32, random: u64) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(31));
        let whole = self.wait_min.saturating_mul(doubled).min(self.wait_max);
        whole / 2 + (whole / 2).mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    ways: Mutex<Ways>,
    bell: Notify,
    taken: AtomicU64,
    failed: AtomicU64,
}

/// Attempts to send a webhook, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// The receiver took it.
    pub taken: u64,
    /// It did not, or could not be reached.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Ways {
    in_flight: HashSet<OutboxId>,
    /// How many of them, by server.
    servers: HashMap<String, usize>,
}

/// Whether a webhook is sent now.
enum Begun {
    Yes,
    /// It is under way, or its server has enough.
    No,
    /// As many are under way as may be.
    Full,
}

impl Outbox {
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    fn begin(&self, row: &OutboxRow) -> Begun {
        let mut ways = self.ways.lock();
        if ways.in_flight.len() >= OUTBOX_IN_FLIGHT_MAX {
            return Begun::Full;
        }
        let server = server(&row.url);
        if ways.in_flight.contains(&row.id)
            || ways.servers.get(server).copied().unwrap_or(0) >= OUTBOX_PER_SERVER_MAX
        {
            return Begun::No;
        }
        ways.in_flight.insert(row.id);
        *ways.servers.entry(server.to_owned()).or_default() += 1;
        Begun::Yes
    }

    fn done(&self, row: &OutboxRow) {
        let mut ways = self.ways.lock();
        ways.in_flight.remove(&row.id);
        let server = server(&row.url);
        if let Some(under_way) = ways.servers.get_mut(server) {
            *under_way -= 1;
            if *under_way == 0 {
                ways.servers.remove(server);
            }
        }
        drop(ways);
        self.bell.notify_one();
    }
}

/// Scheme, host and port of an address.
fn server(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']);
    &url[..end.map_or(url.len(), |at| host + at)]
}

/// What follows from an attempt.
fn plan(
    row: &OutboxRow,
    body: &Bytes,
    sent: &Result<(), String>,
    patience: &Patience,
    (now_ms, random): (i64, u64),
) -> Rows {
    let Err(why) = sent else {
        return Rows {
            consumed: Some(Consumed::Outbox(row.id)),
            ..Rows::default()
        };
    };
    let attempts = row.tried.attempts + 1;
    if attempts < patience.attempts_max {
        let wait = patience.wait(attempts, random);
        let tried = Tried {
            attempts,
            due_ms: now_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
            error: why.clone(),
        };
        return Rows {
            outbox_change: Some(OutboxChange::Tried(row.id, tried)),
            ..Rows::default()
        };
    }
    Rows {
        consumed: Some(Consumed::Outbox(row.id)),
        dead_letter: Some(DeadLetter {
            kind: DeadLetterKind::Outbox,
            actor: row.actor.clone(),
            version: row.version.clone(),
            event: row.name.clone(),
            payload: body.clone(),
            reason: "undeliverable".to_owned(),
            message: format!("{} did not take it in {attempts} attempts: {why}", row.url),
            time_ms: now_ms,
            origin: Origin {
                outbox: Some((row.id, row.url.clone())),
                ..Origin::default()
            },
        }),
        ..Rows::default()
    }
}

impl Actors {
    /// How webhooks have fared since the start.
    #[must_use]
    pub fn webhook_attempts(&self) -> Attempts {
        Attempts {
            taken: self.outbox.taken.load(Ordering::Relaxed),
            failed: self.outbox.failed.load(Ordering::Relaxed),
        }
    }

    /// Sends what is due, from `behind` on. Returns how long to wait before the next
    /// look; `behind` is then where that goes on.
    fn send_due(
        self: &Arc<Self>,
        behind: &mut Option<(i64, OutboxId)>,
    ) -> Result<Duration, ReadError> {
        let now_ms = unix_ms();
        let mut is_due = behind.is_some();
        for _ in 0..PAGES_MAX {
            let page = self.journal.outbox_due(now_ms, *behind, PAGE)?;
            let is_last = page.len() < PAGE;
            is_due |= !page.is_empty();
            for row in page {
                let at = (row.tried.due_ms, row.id);
                match self.outbox.begin(&row) {
                    Begun::Full => return Ok(RETRY_AFTER),
                    Begun::No => {}
                    Begun::Yes => {
                        let actors = Arc::clone(self);
                        self.data.spawn(async move { actors.send_one(row).await });
                    }
                }
                *behind = Some(at);
            }
            if is_last {
                *behind = None;
                break;
            }
        }
        if is_due {
            return Ok(RETRY_AFTER);
        }
        let next = self.journal.next_outbox()?;
        let wait_ms = next.map_or(i64::MAX, |at_ms| at_ms.saturating_sub(now_ms));
        Ok(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).min(LOOK_EVERY))
    }

    async fn send_one(self: &Arc<Self>, row: OutboxRow) {
        self.attempt(row.id).await;
        self.outbox.done(&row);
    }

    async fn attempt(&self, id: OutboxId) {
        // Read again: what the look saw may have been sent before this was begun.
        let read = tokio::task::block_in_place(|| self.journal.outbox_row(id));
        let (row, body) = match read {
            Ok(Some((row, body))) if row.tried.due_ms <= unix_ms() => (row, body),
            Ok(_) => return,
            Err(error) => {
                return tracing::error!(error = chain(&error), %id, "a webhook could not be read");
            }
        };
        let attempt = self.courier.deliver(Delivery {
            url: row.url.clone(),
            key: self.journal.webhook_key(id),
            name: row.name.clone(),
            body: body.clone(),
        });
        let sent = tokio::time::timeout(OUTBOX_TIMEOUT, attempt).await;
        let sent = sent
            .unwrap_or_else(|_| Err(format!("no answer within {} s", OUTBOX_TIMEOUT.as_secs())));
        let count = match &sent {
            Ok(()) => &self.outbox.taken,
            Err(_) => &self.outbox.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = &sent {
            tracing::warn!(%id, url = row.url, attempts = row.tried.attempts + 1, why,
                "a webhook was not taken");
        }
        let at = (unix_ms(), seed::next());
        let patience = self.limits.patience;
        let follows = || plan(&row, &body, &sent, &patience, at);
        match self.write_rows(follows).await {
            Ok(_) if follows().dead_letter.is_some() => {
                self.buried.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            // It is sent again, under the same key.
            Err(lost) => {
                tracing::error!(%lost, %id, "what became of a webhook could not be written");
            }
        }
    }
}

/// Sends webhooks as they come due.
pub(crate) async fn run(actors: Arc<Actors>) {
    let mut behind = None;
    while !actors.is_stopping() {
        let look = tokio::task::block_in_place(|| actors.send_due(&mut behind));
        let wait = look.unwrap_or_else(|error| {
            tracing::error!(
                error = chain(&error),
                "the outbox could not be read; it will be tried again"
            );
            RETRY_AFTER
        });
        // Woken early when a webhook has come, or one under way has ended.
        let _ = tokio::time::timeout(wait, actors.outbox.bell.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use host_journal::Position;

    use super::*;

    fn row(attempts: u32) -> OutboxRow {
        OutboxRow {
            id: OutboxId {
                position: Position(7),
                index: 1,
            },
            actor: "donations:a".parse().unwrap(),
            version: "0.1.0".parse().unwrap(),
            name: "thanks".to_owned(),
            url: "https://example.org/thanks".to_owned(),
            tried: Tried {
                attempts,
                due_ms: 5,
                error: String::new(),
            },
        }
    }

    #[test]
    fn waits_double_up_to_their_bound_and_are_spread_over_a_half() {
        let patience = Patience::default();
        for (attempts, whole_s) in [
            (1, 1),
            (2, 2),
            (5, 16),
            (12, 2_048),
            (13, 3_600),
            (99, 3_600),
        ] {
            let whole = Duration::from_secs(whole_s);
            assert_eq!(patience.wait(attempts, 0), whole / 2, "{attempts}");
            let most = patience.wait(attempts, u64::MAX);
            assert!(
                most <= whole && most > whole * 9 / 10,
                "{attempts} {most:?}"
            );
        }
    }

    #[test]
    fn an_attempt_leads_to_an_end_another_one_or_a_dead_letter() {
        let patience = Patience {
            attempts_max: 3,
            ..Patience::default()
        };
        let body = Bytes::from_static(b"{}");
        let plan = |attempts, sent: Result<(), String>| {
            super::plan(&row(attempts), &body, &sent, &patience, (1_000, 0))
        };
        let taken = plan(0, Ok(()));
        assert_eq!(taken.consumed, Some(Consumed::Outbox(row(0).id)));
        assert!(taken.dead_letter.is_none() && taken.outbox_change.is_none());

        let again = plan(1, Err("refused".to_owned()));
        assert_eq!(again.consumed, None);
        let Some(OutboxChange::Tried(id, tried)) = again.outbox_change else {
            panic!("it is tried again");
        };
        assert_eq!((id, tried.attempts, tried.due_ms), (row(0).id, 2, 2_000));
        assert_eq!(tried.error, "refused");

        let buried = plan(2, Err("refused".to_owned()));
        assert_eq!(buried.consumed, Some(Consumed::Outbox(row(0).id)));
        let letter = buried.dead_letter.unwrap();
        assert_eq!(
            (letter.kind, &*letter.event),
            (DeadLetterKind::Outbox, "thanks")
        );
        assert_eq!(letter.origin.outbox, Some((row(0).id, row(0).url)));
    }

    #[test]
    fn a_server_is_scheme_host_and_port() {
        for (url, of) in [
            ("https://example.org/a/b?c", "https://example.org"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://example.org?c", "https://example.org"),
        ] {
            assert_eq!(server(url), of);
        }
    }

    #[test]
    fn one_server_leaves_room_for_others() {
        let outbox = Outbox::default();
        let of = |position, url: &str| {
            let mut row = row(0);
            row.id.position = Position(position);
            row.url = url.to_owned();
            row
        };
        let slow: Vec<_> = (0..9).map(|n| of(n, "http://slow/")).collect();
        let begun = slow
            .iter()
            .filter(|row| matches!(outbox.begin(row), Begun::Yes));
        assert_eq!(begun.count(), OUTBOX_PER_SERVER_MAX);
        assert!(matches!(outbox.begin(&of(10, "http://other/")), Begun::Yes));
        outbox.done(&slow[0]);
        assert!(matches!(outbox.begin(&slow[8]), Begun::Yes));
        assert!(matches!(outbox.begin(&slow[8]), Begun::No));
    }
}
