//! One client that polls. What its messages mean is for the same [`Client`] to know as
//! behind a WebSocket, and the same [`Outbound`] bounds what waits for it.
//!
//! # Invariants
//!
//! - State changes in turns that do not await, behind the gate, as a connection's does.
//! - What was given to a poll is given once: of two polls the later one gets all, and a
//!   poll whose client has gone ends the session.

use std::future::poll_fn;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host_model::limits::IDLE_TIMEOUT;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::Answer;
use crate::client::Client;
use crate::connection::{Dialogue as _, Shared};
use crate::counters::count;
use crate::limits::{MESSAGE_BYTES_MAX, POLL_LINES_MAX, POLL_MESSAGES_BYTES, POLL_TIMEOUT};
use crate::outbound::{Outbound, Signals};
use crate::phoenix::{Form, Incoming, Malformed};

pub(crate) struct Session {
    outbound: Arc<Outbound>,
    turn: Mutex<Turn>,
    /// Another poll has come in the place of the one that waits.
    replaced: Notify,
}

/// What a turn changes.
struct Turn {
    client: Client,
    /// Polls that there were.
    polls: u64,
    /// Polls that wait.
    waiting: usize,
    heard_at: Instant,
    over: bool,
}

/// What a turn of a poll has come to.
enum Step {
    Answer(Answer),
    /// Nothing yet, and these signals are known.
    Wait(Signals),
}

impl Session {
    pub(crate) fn new(client: Client, outbound: Arc<Outbound>) -> Self {
        Self {
            outbound,
            turn: Mutex::new(Turn {
                client,
                polls: 0,
                waiting: 0,
                heard_at: Instant::now(),
                over: false,
            }),
            replaced: Notify::new(),
        }
    }

    /// Waits for messages. To be run on the data runtime.
    pub(crate) async fn poll(&self, shared: &Shared) -> Answer {
        let mut late = std::pin::pin!(sleep(POLL_TIMEOUT));
        let mut is_late = false;
        let mine = self.begin();
        let answer = loop {
            let mut replaced = std::pin::pin!(self.replaced.notified());
            replaced.as_mut().enable();
            let open = shared.gate.read().await;
            let step = self.look(mine, is_late, shared);
            drop(open);
            let known = match step {
                Step::Answer(answer) => break answer,
                Step::Wait(known) => known,
            };
            tokio::select! {
                biased; // A poll that was replaced must not be the one to be woken.
                () = &mut replaced => {}
                () = &mut late => is_late = true,
                () = poll_fn(|cx| self.outbound.poll_ready(cx, known, true)) => {}
            }
        };
        let mut turn = self.turn.lock();
        turn.waiting -= 1;
        turn.heard_at = Instant::now();
        answer
    }

    /// Takes messages, one a line. To be run on the data runtime.
    pub(crate) async fn post(&self, shared: &Shared, body: &[u8]) -> Result<(), Answer> {
        let _open = shared.gate.read().await;
        let mut turn = self.turn.lock();
        turn.heard_at = Instant::now();
        let signals = self.outbound.signals();
        if turn.over || signals.stop {
            return Err(Answer::gone("the session has ended"));
        }
        let lines = body.split(|byte| *byte == b'\n');
        for (number, line) in lines.enumerate() {
            if number >= POLL_LINES_MAX || line.len() > MESSAGE_BYTES_MAX {
                count(&shared.counters.over_limit);
                let why = format!(
                    "a POST has at most {POLL_LINES_MAX} messages, each of at most \
                     {MESSAGE_BYTES_MAX} bytes"
                );
                return Err(Answer::refused(413, why));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let taken = match line.first() {
                Some(b'[') => {
                    let text = str::from_utf8(line).map_err(|_| Malformed::Shape);
                    turn.client
                        .take(text.and_then(Incoming::parse), &self.outbound)
                }
                // What would be a binary frame. The client reads replies as text.
                _ => {
                    let bytes = STANDARD.decode(line).map_err(|_| Malformed::Shape);
                    let message = bytes.as_deref().map_err(|malformed| *malformed);
                    let message = message.and_then(Incoming::parse_binary);
                    let message = message.map(|message| message.answered_in(Form::Text));
                    turn.client.take(message, &self.outbound)
                }
            };
            taken.map_err(|refused| Answer::refused(400, refused.reason))?;
        }
        Ok(())
    }

    /// Ends it; again, if need be. A poll that waits hears of it.
    pub(crate) fn end(&self) {
        let mut turn = self.turn.lock();
        turn.end(&self.outbound);
        drop(turn);
        self.outbound.signal(|signals| signals.kill = true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.turn.lock().over
    }

    /// Whether nothing has been heard of its client for too long.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        let turn = self.turn.lock();
        turn.waiting == 0 && turn.heard_at + IDLE_TIMEOUT <= now
    }

    /// Polls that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.turn.lock().waiting
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Begins a poll, and gives its number.
    fn begin(&self) -> u64 {
        let mut turn = self.turn.lock();
        turn.polls += 1;
        turn.waiting += 1;
        self.replaced.notify_waiters();
        turn.polls
    }

    fn look(&self, poll: u64, is_late: bool, shared: &Shared) -> Step {
        let mut turn = self.turn.lock();
        if turn.polls != poll {
            return Step::Answer(Answer::nothing());
        }
        let signals = self.outbound.begin_turn();
        if let Some(why) = turn.ends(signals, shared) {
            turn.end(&self.outbound);
            return Step::Answer(Answer::gone(why));
        }
        let mut frames = Vec::new();
        let mut bytes = 0;
        while bytes < POLL_MESSAGES_BYTES
            && let Some(delivery) = self.outbound.pop()
        {
            let known = frames.len();
            turn.client
                .on_delivery(delivery, &self.outbound, &mut frames);
            let new = frames[known..].iter();
            bytes += new.map(|frame| frame.as_bytes().len()).sum::<usize>();
        }
        if !frames.is_empty() {
            return Step::Answer(Answer::messages(&frames));
        }
        if signals.stop && turn.client.is_at_rest() {
            turn.end(&self.outbound);
            return Step::Answer(Answer::gone("the host restarts; come back in a moment"));
        }
        match is_late {
            true => Step::Answer(Answer::nothing()),
            false => Step::Wait(signals),
        }
    }
}

impl Turn {
    /// Why it has to end now, if it has.
    fn ends(&self, signals: Signals, shared: &Shared) -> Option<&'static str> {
        if self.over || signals.kill {
            Some("the session has ended")
        } else if signals.overflowed {
            count(&shared.counters.slow_clients);
            Some("too much waits to be read by this client")
        } else if signals.broken {
            Some("a call has failed inside the host")
        } else {
            None
        }
    }

    fn end(&mut self, outbound: &Outbound) {
        self.over = true;
        outbound.shut();
        self.client.end(outbound);
    }
}
