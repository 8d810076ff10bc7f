//! `host trace ACTOR`: what an actor handles, line by line.

use std::fmt::Write as _;
use std::time::Duration;

use host_model::ActorId;
use host_model::control::{
    Excerpt, Traced, TracedMessage, TracedOutcome, TracedSent, TracedSource,
};

use crate::client::query;
use crate::failure::EXIT_NOT_RUNNING;
use crate::{Client, Failure, Output};

/// Shows it until `count` messages, `for_s` seconds or Ctrl-C end it, which is success;
/// or until the host stops.
pub(crate) async fn trace(
    actor: &ActorId,
    for_s: Option<u64>,
    count: Option<u64>,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let path = query(&[("actor", Some(actor.to_string()))]);
    let mut lines = client.listen::<Traced>(&format!("/v1/trace{path}")).await?;
    let over = async {
        match for_s {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let mut left = count;
    while !out.is_closed() && left != Some(0) {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = &mut over => return Ok(0),
            _ = tokio::signal::ctrl_c() => return Ok(0),
        };
        let Some(line) = line else {
            return Err(Failure::look(
                "connection_lost",
                format!("trace {actor}: the host closed the connection; see `host status`"),
            ));
        };
        out.document(&line, text)?;
        match line {
            Traced::Ended => {
                return Err(Failure::new(
                    "not_running",
                    EXIT_NOT_RUNNING,
                    format!("trace {actor}: the host has stopped"),
                ));
            }
            Traced::Message(_) => left = left.map(|left| left - 1),
            _ => {}
        }
    }
    Ok(0)
}

fn text(line: &Traced) -> String {
    match line {
        Traced::Began { actor } => format!("tracing {actor}"),
        Traced::Message(message) => of_message(message),
        Traced::Sent(sent) => of_sent(sent),
        Traced::Migrated {
            at_ms,
            from,
            to,
            duration_us,
            reason,
        } => {
            let (at, took) = (clock(*at_ms), took(*duration_us));
            match reason {
                None => format!("{at}  migrated   {from} to {to} in {took}"),
                Some(why) => format!("{at}  migrated   not from {from} to {to}, in {took}: {why}"),
            }
        }
        Traced::Lost { lines } => {
            format!("              ({lines} lines are missing here: they came too quickly)")
        }
        // Its failure says so.
        Traced::Ended => String::new(),
    }
}

fn of_message(it: &TracedMessage) -> String {
    let source = match it.source {
        TracedSource::Call => "call",
        TracedSource::Cast => "cast",
        TracedSource::Timer => "timer",
        TracedSource::DeadLetter => "again",
    };
    let outcome = match it.outcome {
        TracedOutcome::Accepted => "accepted",
        TracedOutcome::Answered => "answered",
        TracedOutcome::Rejected => "rejected",
        TracedOutcome::Crashed => "crashed",
        TracedOutcome::Refused => "refused",
    };
    let mut text = format!(
        "{}  {source:<6} {} {}",
        clock(it.at_ms),
        it.event,
        excerpt(&it.payload)
    );
    if !it.principal.is_empty() && it.source != TracedSource::Timer {
        let _infallible = write!(text, " by {}", it.principal);
    }
    let _infallible = write!(text, "\n              {outcome}");
    if let Some(reason) = &it.reason {
        let _infallible = write!(text, " ({reason})");
    }
    if let Some(us) = it.duration_us {
        let _infallible = write!(text, " in {}", took(us));
    }
    if let Some(version) = &it.version {
        let _infallible = write!(text, ", version {version}");
    }
    if let Some(seq) = it.seq {
        let _infallible = write!(text, ", seq {seq}");
    }
    if let Some(position) = it.position {
        let _infallible = write!(text, ", position {position}");
    }
    if it.answer.bytes > 0 {
        let _infallible = write!(text, ": {}", excerpt(&it.answer));
    }
    text
}

fn of_sent(it: &TracedSent) -> String {
    let to = match &it.to {
        Some(to) => format!("cast to {to}"),
        None => "event".to_owned(),
    };
    format!(
        "{}  sent   {to} {} {} (seq {}, position {})",
        clock(it.at_ms),
        it.event,
        excerpt(&it.payload),
        it.seq,
        it.position
    )
}

/// On one line, and harmless on a terminal: what a client sends may hold anything.
fn excerpt(of: &Excerpt) -> String {
    let tame = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = of.text.chars().map(tame).collect();
    match of.is_cut() {
        true => format!("{text}... ({} bytes)", of.bytes),
        false if text.is_empty() => "{}".to_owned(),
        false => text,
    }
}

/// The time of day, UTC.
fn clock(at_ms: i64) -> String {
    let ms = at_ms.rem_euclid(24 * 60 * 60 * 1_000);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", ms % 1_000)
}

fn took(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> TracedMessage {
        TracedMessage {
            at_ms: 1_767_225_600_012,
            source: TracedSource::Call,
            event: "donate".to_owned(),
            payload: Excerpt::of(br#"{"amount":"5.00"}"#),
            principal: "operator:ali".to_owned(),
            outcome: TracedOutcome::Accepted,
            reason: None,
            answer: Excerpt::of(br#"{"count":1}"#),
            version: Some(host_model::Version::new(0, 1, 0)),
            seq: Some(2),
            position: Some(7),
            duration_us: Some(1_234),
        }
    }

    #[test]
    fn a_message_reads_as_what_came_and_what_came_of_it() {
        assert_eq!(
            text(&Traced::Message(message())),
            "00:00:00.012  call   donate {\"amount\":\"5.00\"} by operator:ali\n              accepted in 1.2 ms, version 0.1.0, seq 2, position 7: {\"count\":1}"
        );
        let refused = TracedMessage {
            outcome: TracedOutcome::Refused,
            reason: Some("mailbox_full".to_owned()),
            answer: Excerpt::of(b"too many\x1b[2J wait"),
            version: None,
            seq: None,
            position: None,
            duration_us: None,
            payload: Excerpt::default(),
            ..message()
        };
        let text = text(&Traced::Message(refused));
        assert!(
            text.ends_with("refused (mailbox_full): too many [2J wait"),
            "{text}"
        );
        assert!(text.contains("donate {} by"), "{text}");
    }

    #[test]
    fn what_is_cut_says_so() {
        let long = "x".repeat(5_000);
        assert!(excerpt(&Excerpt::of(long.as_bytes())).ends_with("x... (5000 bytes)"));
        assert_eq!(took(999), "999 us");
        assert_eq!(took(2_500_000), "2.5 s");
    }
}
