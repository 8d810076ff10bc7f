//! One who gives without end, and writes down what came of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::campaigns::Campaigns;
use super::keys::Keys;
use super::post::{Posted, leaves_open, may_try_again, post};
use super::{Book, Dice};
use crate::{Client, Reply};

/// Between two attempts while the host is down.
pub(super) const AGAIN: Duration = Duration::from_millis(20);

/// Attempts at one command, after which it is left as it is.
pub(super) const ATTEMPTS_MAX: u32 = 400;

/// How many payers there are whose zakat is paid: so many that none comes to the most that
/// the plugin keeps of one (20,000) in an hour.
const PAYERS: u64 = 50;

/// What all givers and owners share.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) port: u16,
    pub(crate) book: Book,
    pub(crate) keys: Keys,
    pub(crate) campaigns: Campaigns,
    pub(crate) gate: Gate,
}

/// Stops all givers for an audit, and lets them go on.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<Passing>,
    changed: Condvar,
    ended: AtomicBool,
    passed: AtomicU64,
}

#[derive(Debug, Default)]
struct Passing {
    closed: bool,
    inside: u64,
}

impl Gate {
    /// Waits while the gate is closed, and then does one thing. False: it is over.
    pub(super) fn pass(&self, attempt: impl FnOnce()) -> bool {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        while state.closed && !self.is_over() {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if self.is_over() {
            return false;
        }
        state.inside += 1;
        drop(state);
        attempt();
        self.passed.fetch_add(1, Ordering::Relaxed);
        lock().inside -= 1;
        self.changed.notify_all();
        true
    }

    /// Closes it, and waits until nobody is inside: each attempt ends by itself.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        while state.inside > 0 {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn open(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = false;
        self.changed.notify_all();
    }

    /// Ends it for everyone.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.open();
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// How a giver reaches the host.
#[derive(Debug)]
pub(crate) enum Way {
    /// A connection that lasts, with the topics joined on it.
    Socket(Option<Box<(Client, Vec<String>)>>),
    /// One request a connection.
    Http,
}

/// What a giver heard.
enum Heard {
    Ok(Value),
    Error(String),
    /// The connection was not there, so nothing was sent.
    Unsent,
    /// The connection ended in between.
    Lost,
}

/// A gift that is being given.
struct Giving {
    actor: String,
    id: String,
    amount: Decimal,
    payer: Option<String>,
}

/// One giver.
pub(crate) struct Giver {
    pub(crate) number: u64,
    pub(crate) way: Way,
    pub(crate) dice: Dice,
    pub(crate) field: Arc<Field>,
}

impl Giver {
    /// Gives until it is over.
    pub(crate) fn give(mut self) {
        let field = Arc::clone(&self.field);
        for gift in 0_u64.. {
            let giving = self.next(gift);
            if !self.until_told(&field, &giving) {
                return;
            }
            let (again, look) = (self.dice.percent(5), self.dice.percent(10));
            let went_on = field.gate.pass(|| {
                if again {
                    self.repeat(&field.book, &giving);
                }
                if look {
                    self.look(&field.book, &giving.actor);
                }
            });
            if !went_on {
                return;
            }
        }
    }

    fn next(&mut self, gift: u64) -> Giving {
        let actor = self.field.campaigns.of(self.dice.below(1 << 20));
        let pays = self.dice.percent(30);
        let payer = pays.then(|| format!("p{}", self.dice.below(PAYERS)));
        let cents = 1 + self.dice.below(99_999);
        Giving {
            actor,
            id: format!("d{}-{gift}", self.number),
            amount: Decimal::new(i64::try_from(cents).unwrap_or(1), 2),
            payer,
        }
    }

    /// Sends until it is told what has come of it, or gives it up. False: it is over.
    fn until_told(&mut self, field: &Field, giving: &Giving) -> bool {
        for _ in 0..ATTEMPTS_MAX {
            let mut told = None;
            let went_on = field.gate.pass(|| told = self.attempt(&field.book, giving));
            match told {
                _ if !went_on => return false,
                Some(true) => return true,
                // Some leave it at that: then nobody ever hears what became of it.
                Some(false) if self.dice.percent(25) => return true,
                Some(false) => {}
                None => thread::sleep(AGAIN),
            }
        }
        true
    }

    /// One attempt. None: nothing could be sent; true: it is known to be there.
    fn attempt(&mut self, book: &Book, giving: &Giving) -> Option<bool> {
        let Giving { actor, id, .. } = giving;
        // A socket is opened before the gift counts as sent.
        if !self.connect(actor) {
            return None;
        }
        let payer = giving.payer.as_deref();
        let before = book.sends(actor, id, giving.amount, payer);
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        match self.ask(actor, "donate", &body(giving)) {
            Heard::Ok(reply) => {
                let is_known = reply["duplicate"] == json!(true);
                match (before, is_known) {
                    (true, true) => count(&book.counts.told_there),
                    (true, false) => count(&book.counts.told_new),
                    (false, false) => {}
                    (false, true) => book.wrong(format!(
                        "{actor} {id} was there before it was sent: {reply}"
                    )),
                }
                if reply["receipt_no"].as_u64().is_none() {
                    book.wrong(format!(
                        "{actor} {id} was answered without a receipt: {reply}"
                    ));
                }
                book.is_there(actor, id, reply["receipt_no"].as_u64());
                count(&book.counts.acknowledged);
                Some(true)
            }
            Heard::Error(reason) => self.is_told_no(book, giving, before, &reason),
            Heard::Unsent => {
                book.is_refused(actor, id, before);
                None
            }
            Heard::Lost => {
                count(&book.counts.opened);
                Some(false)
            }
        }
    }

    fn is_told_no(&self, book: &Book, giving: &Giving, before: bool, reason: &str) -> Option<bool> {
        let Giving { actor, id, .. } = giving;
        match reason {
            _ if leaves_open(reason) => {
                book.counts.opened.fetch_add(1, Ordering::Relaxed);
                if reason == "outcome_unknown" {
                    book.counts.unknown.fetch_add(1, Ordering::Relaxed);
                }
                Some(false)
            }
            _ if may_try_again(reason) => {
                book.is_refused(actor, id, before);
                None
            }
            // Taken as sadaqah by a version that knows no funds: another body now.
            "conflict" if before && giving.payer.is_some() => {
                book.is_there(actor, id, None);
                Some(true)
            }
            // A version that knows no zakat is asked by a client that does.
            "bad_fund" | "bad_payload" | "unknown_event" if giving.payer.is_some() => {
                book.is_refused(actor, id, before);
                Some(true)
            }
            _ => {
                book.wrong(format!("{actor} {id} was answered {reason}"));
                Some(true)
            }
        }
    }

    /// Sends once more what is known to be there.
    fn repeat(&mut self, book: &Book, giving: &Giving) {
        let Giving { actor, id, .. } = giving;
        let is_there = matches!(
            book.gifts(actor).get(id).map(|gift| gift.told),
            Some(super::book::Told::There { .. })
        );
        if !is_there || !self.connect(actor) {
            return;
        }
        if let Heard::Ok(reply) = self.ask(actor, "donate", &body(giving)) {
            if reply["duplicate"] != json!(true) {
                book.wrong(format!(
                    "{actor} {id} was acknowledged, and is taken again: {reply}"
                ));
            }
            book.is_there(actor, id, reply["receipt_no"].as_u64());
            book.counts.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the summary: it has all that was acknowledged before it was asked for.
    fn look(&mut self, book: &Book, actor: &str) {
        let known = book.known(actor);
        if !self.connect(actor) {
            return;
        }
        if let Heard::Ok(summary) = self.ask(actor, "summary", &json!({})) {
            let count = summary["count"].as_u64().unwrap_or_default();
            if count < known {
                book.wrong(format!(
                    "{actor} shows {count} gifts when {known} were acknowledged"
                ));
            }
            book.counts.queried.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn connect(&mut self, actor: &str) -> bool {
        let Way::Socket(socket) = &mut self.way else {
            return true;
        };
        if socket.is_none() {
            let client = Client::connect(self.field.port);
            *socket = client.ok().map(|client| Box::new((client, Vec::new())));
        }
        let Some(open) = socket else { return false };
        let (client, topics) = &mut **open;
        if topics.iter().any(|topic| topic == actor) {
            return true;
        }
        match client.join(actor) {
            Ok(Reply::Ok(_)) => {
                topics.push(actor.to_owned());
                true
            }
            _ => {
                *socket = None;
                false
            }
        }
    }

    fn ask(&mut self, actor: &str, event: &str, payload: &Value) -> Heard {
        match &mut self.way {
            Way::Http => ask_over_http(self.field.port, actor, event, payload),
            Way::Socket(None) => Heard::Unsent,
            Way::Socket(Some(open)) => match open.0.push(actor, event, payload) {
                Ok(Reply::Ok(reply)) => Heard::Ok(reply),
                Ok(Reply::Error { reason, .. }) => Heard::Error(reason),
                Err(_) => {
                    self.way = Way::Socket(None);
                    Heard::Lost
                }
            },
        }
    }
}

fn ask_over_http(port: u16, actor: &str, event: &str, payload: &Value) -> Heard {
    match post(port, actor, event, "", payload) {
        Posted::Taken(answer) => answer.json().map_or(Heard::Lost, Heard::Ok),
        Posted::Refused(reason) => Heard::Error(reason),
        Posted::Unsent => Heard::Unsent,
        Posted::Lost => Heard::Lost,
    }
}

fn body(giving: &Giving) -> Value {
    let mut body = json!({"donation_id": giving.id, "donor": "a donor",
        "amount": giving.amount.to_string(), "currency": "USD"});
    if let Some(payer) = &giving.payer {
        body["fund"] = json!("zakat");
        body["payer"] = json!(payer);
    }
    body
}
