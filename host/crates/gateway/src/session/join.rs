//! Joins: from the message to the answer, and what follows it.

use std::sync::Arc;

use bytes::Bytes;
use host_actors::{Answer, Missed};
use host_model::limits::CHANNELS_MAX;
use host_model::{ActorId, Version};
use serde::Deserialize;

use super::{Action, Channel, Purpose, Ruling, Session, Ticket, over_limit, refusal};
use crate::limits::HELD_BYTES_MAX;
use crate::outbound::Live;
use crate::phoenix::{self, Incoming, UNMATCHED_TOPIC};

/// The query whose answer a join gives.
const SUMMARY: &str = "summary";

/// What the payload of a join asks for. What else stands in it is no matter here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Wishes {
    /// The last `seq` that the client has seen: it wants what came behind.
    seq: Option<u64>,
    /// It wants to be shown to the others, and to see them.
    presence: Option<bool>,
}

/// What was told on a topic while its join was under way.
#[derive(Debug, Default)]
pub(super) struct Joining {
    held: Vec<Arc<Live>>,
    bytes: usize,
}

/// A client wants what it has missed.
#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) topic: ActorId,
    /// The last `seq` that it has seen.
    pub(crate) after: u64,
    /// The one that the summary shows.
    pub(crate) until: Option<u64>,
    /// The version that it knows.
    pub(crate) stamp: Version,
    ticket: Ticket,
    summary: Option<Answer>,
}

/// What it has missed, in the shape that it knows.
#[derive(Debug)]
pub(crate) struct Resumed {
    ticket: Ticket,
    summary: Option<Answer>,
    missed: Missed,
}

impl Resume {
    /// With what was read.
    pub(crate) fn with(self, missed: Missed) -> Box<Resumed> {
        Box::new(Resumed {
            ticket: self.ticket,
            summary: self.summary,
            missed,
        })
    }
}

impl Resumed {
    /// What it counts for against the bound of what waits for a client.
    pub(crate) fn bytes(&self) -> usize {
        let news = self.missed.news.iter().flatten();
        let news: usize = news.map(|news| news.payload.get().len()).sum();
        self.summary.as_ref().map_or(0, |answer| answer.reply.len()) + news
    }
}

impl Joining {
    /// Keeps what is told for later; false if it is too much.
    pub(super) fn hold(&mut self, live: &Arc<Live>) -> bool {
        self.bytes += live.bytes();
        self.held.push(Arc::clone(live));
        self.bytes <= HELD_BYTES_MAX
    }
}

impl Session {
    pub(super) fn join(
        &mut self,
        message: &Incoming<'_>,
        ruling: impl FnOnce(&ActorId) -> Option<Ruling>,
        actions: &mut Vec<Action>,
    ) {
        let topic = message.topic.parse::<ActorId>().ok();
        let known = topic.and_then(|topic| Some((ruling(&topic)?, topic)));
        let Some((ruling, topic)) = known else {
            let text = "no plugin that runs serves this topic; topics are plugin:key";
            return actions.push(refusal(message, UNMATCHED_TOPIC, text));
        };
        let Ok(wishes) = serde_json::from_str::<Wishes>(message.payload) else {
            let text = "the payload of a join is an object; its `seq`, if there is one, is a \
                        whole number, and its `presence` true or false";
            return actions.push(refusal(message, "bad_payload", text));
        };
        if let Err(full) = self.has_room(message) {
            return actions.push(full);
        }
        let channel = Channel {
            topic: topic.clone(),
            join_ref: message.asked.join_ref.clone(),
            stamp: ruling.version.clone(),
            joining: Some(Box::default()),
            seq: 0,
            is_present: false,
        };
        let mut replaced = None;
        if let Some(index) = self.position(topic.as_str()) {
            let old = std::mem::replace(&mut self.channels[index], channel);
            if old.is_present {
                actions.push(Action::Leave(topic.clone()));
            }
            replaced = Some(old.join_ref);
        } else if self.channels.len() >= CHANNELS_MAX {
            let text = format!(
                "{CHANNELS_MAX} channels are joined over this connection already; leave one first"
            );
            return actions.push(over_limit(message, "too_many_channels", &text));
        } else {
            self.channels.push(channel);
        }
        // Before the summary is asked for, so that no broadcast is missed between the two.
        let stamp = ruling.version.clone();
        actions.push(Action::Subscribe(topic.clone(), stamp));
        let purpose = Purpose::Join { replaced, wishes };
        if ruling.has_summary || self.is_asked() {
            let (event, stamp) = (SUMMARY.to_owned(), ruling.version);
            let call = self.call(message, topic, event, Bytes::new(), stamp, purpose);
            actions.push(Action::Call(call));
        } else {
            let ticket = Ticket {
                topic,
                asked: message.asked.clone(),
                purpose,
                payload_bytes: 0,
            };
            self.on_summary(ticket, None, actions);
        }
    }

    /// Takes the summary, or that there is none: then what the client has missed is asked
    /// for, if it wants that and is still there.
    pub(super) fn on_summary(
        &mut self,
        ticket: Ticket,
        summary: Option<Answer>,
        actions: &mut Vec<Action>,
    ) {
        match (self.of(&ticket), ticket.wishes().seq) {
            (Some(index), Some(after)) => {
                self.calls += 1;
                let channel = &self.channels[index];
                actions.push(Action::Resume(Box::new(Resume {
                    topic: channel.topic.clone(),
                    after,
                    until: summary.as_ref().map(|answer| answer.seq),
                    stamp: channel.stamp.clone(),
                    ticket,
                    summary,
                })));
            }
            _ => self.end_join(&ticket, summary.as_ref(), None, actions),
        }
    }

    /// Takes what the client has missed.
    pub(crate) fn on_resumed(&mut self, resumed: Resumed, actions: &mut Vec<Action>) {
        let Resumed {
            ticket,
            summary,
            missed,
        } = resumed;
        self.calls -= 1;
        self.end_join(&ticket, summary.as_ref(), Some(&missed), actions);
    }

    /// Answers a join. Behind the answer comes what was missed, then what was held.
    fn end_join(
        &mut self,
        ticket: &Ticket,
        summary: Option<&Answer>,
        missed: Option<&Missed>,
        actions: &mut Vec<Action>,
    ) {
        let seq = summary.map(|answer| answer.seq);
        let seq = seq.or_else(|| missed.map(|missed| missed.through));
        let replayed = missed.map(|missed| missed.news.as_ref().map(Vec::len).map_err(|why| *why));
        // Empty, where the plugin has nothing to show.
        let reply = summary.map(|answer| &*answer.reply);
        let reply = reply.filter(|reply| !reply.is_empty());
        actions.push(ticket.ok(&phoenix::join_response(reply, seq, replayed)));
        if let Purpose::Join { replaced, .. } = &ticket.purpose {
            ticket.close(replaced.as_ref(), actions);
        }
        let Some(index) = self.of(ticket) else {
            return;
        };
        let channel = &mut self.channels[index];
        channel.seq = seq.unwrap_or(0);
        for news in missed
            .into_iter()
            .flat_map(|missed| missed.news.iter().flatten())
        {
            actions.push(Action::Send(phoenix::news(&channel.join_ref, news)));
        }
        let held = channel.joining.take().map_or_else(Vec::new, |it| it.held);
        let held = held.iter().filter_map(|live| channel.hears(live));
        actions.extend(held.map(Action::Send));
        if ticket.wishes().presence == Some(true) {
            channel.is_present = true;
            actions.push(Action::Enter(
                channel.topic.clone(),
                channel.stamp.clone(),
                channel.join_ref.clone(),
            ));
        }
    }

    /// The channel that a join has made, if it is still there and still joining.
    pub(super) fn of(&self, ticket: &Ticket) -> Option<usize> {
        let is_it = |channel: &Channel| {
            let is_same = channel.join_ref == ticket.asked.join_ref;
            is_same && channel.joining.is_some() && channel.topic == ticket.topic
        };
        self.channels.iter().position(is_it)
    }
}

impl Ticket {
    fn wishes(&self) -> Wishes {
        match &self.purpose {
            Purpose::Join { wishes, .. } => *wishes,
            Purpose::Push => Wishes::default(),
        }
    }
}
