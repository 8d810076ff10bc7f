//! A verdict's effects: checked, and sorted by where they go.

use bytes::Bytes;
use host_journal::{Letter, Rows, Webhook};
use host_model::effect::Effect;
use host_model::limits::URL_BYTES_MAX;
use host_model::{ActorId, Version};
use serde_json::value::RawValue;

use crate::Actors;
use crate::decide::Command;
use crate::live::Live;

/// A verdict's effects, sorted by where they go.
#[derive(Default)]
pub(crate) struct Effects {
    /// Timers and webhooks.
    pub(crate) rows: Rows,
    pub(crate) broadcasts: Vec<(String, Box<RawValue>)>,
    pub(crate) casts: Vec<Letter>,
    /// The earliest of the timers, Unix milliseconds.
    pub(crate) timer_ms: Option<i64>,
    /// Whether the actor wants to leave memory.
    pub(crate) stop: bool,
    /// All of them as the plugin wrote them, for the record.
    pub(crate) json: Bytes,
}

impl Actors {
    /// Sorts a verdict's effects. An effect that cannot be is the plugin's fault.
    pub(crate) fn sort(
        &self,
        id: &ActorId,
        live: &Live,
        command: &Command,
        effects: Vec<Effect>,
    ) -> Result<Effects, String> {
        let mut sorted = Effects::default();
        for effect in effects {
            match effect {
                Effect::Broadcast { event, payload } => sorted.broadcasts.push((event, payload)),
                Effect::Cast { to, event, payload } => {
                    let to: ActorId = to.parse().map_err(|e| {
                        format!(
                            "{} casts {event:?} to nobody: {e}",
                            live.code().plugin().name()
                        )
                    })?;
                    sorted.casts.push(Letter {
                        from: id.clone(),
                        version: self.shape_for(&to, id, live),
                        to,
                        event,
                        payload: as_bytes(payload),
                        hops: command.hops + 1,
                    });
                }
                Effect::SetTimer {
                    name,
                    at_ms,
                    payload,
                } => {
                    let payload = as_bytes(payload);
                    sorted.timer_ms = Some(sorted.timer_ms.map_or(at_ms, |ms| ms.min(at_ms)));
                    sorted.rows.timers_cancelled.retain(|other| *other != name);
                    sorted.rows.timers_set.retain(|other| other.0 != name);
                    sorted.rows.timers_set.push((name, at_ms, payload));
                }
                Effect::CancelTimer { name } => {
                    sorted.rows.timers_set.retain(|other| other.0 != name);
                    sorted.rows.timers_cancelled.push(name);
                }
                Effect::Outbox { name, url, body } => {
                    sorted.rows.outbox.push(webhook(id, live, name, url, body)?);
                }
                Effect::Stop {} => sorted.stop = true,
            }
        }
        Ok(sorted)
    }

    /// The version of the target's plugin that goes with the sender's version: of its own
    /// plugin the same one. Of another it is the one in a release that has the sender's; where
    /// none is known any more, the one that ruled before, or that the target has.
    fn shape_for(&self, to: &ActorId, from: &ActorId, sender: &Live) -> Version {
        let own = sender.code().plugin();
        if to.plugin() == own.name() {
            return own.version().clone();
        }
        let release = self.release_of(from);
        let came_over = release
            .plugins
            .get(own.name())
            .is_none_or(|ruling| ruling.code.version() == own.version());
        let before = match came_over {
            true => None,
            false => {
                let beside = release.beside(own.name(), own.version(), to.plugin());
                beside.or_else(|| release.before.get(to.plugin()))
            }
        };
        let ruling = || release.plugins.get(to.plugin()).map(|r| r.code.version());
        before
            .or_else(ruling)
            .cloned()
            .unwrap_or(Version::new(0, 0, 0))
    }
}

/// A webhook, of which as much is checked as needs no receiver.
fn webhook(
    id: &ActorId,
    live: &Live,
    name: String,
    url: String,
    body: Box<RawValue>,
) -> Result<Webhook, String> {
    let plugin = live.code().plugin().name();
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(format!(
            "{plugin} has a webhook to {url:?}, and an address begins with https:// or http://"
        ));
    }
    if url.len() > URL_BYTES_MAX {
        return Err(format!(
            "{plugin} has a webhook whose address is over {URL_BYTES_MAX} bytes"
        ));
    }
    Ok(Webhook {
        actor: id.clone(),
        version: live.code().version().clone(),
        name,
        url,
        body: as_bytes(body),
    })
}

/// JSON as it stands, without a copy.
fn as_bytes(json: Box<RawValue>) -> Bytes {
    Bytes::from(String::from(Box::<str>::from(json)))
}
