//! The way from 0.2.0 and back.

use host_sdk::{Message, Migrate, Migrated, MigrationError, Random, Rejection};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Faulty;

/// The state of 0.2.0, field for field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Old {
    /// What 0.1.0 knows too.
    pub old: Oldest,
    /// Texts, oldest first.
    pub notes: Vec<String>,
}

/// The state of 0.1.0, field for field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oldest {
    /// Sum of what was added.
    pub count: i64,
    /// Timers that have fired.
    pub ticks: u64,
    /// What goes wrong in 0.2.0, as that writes it.
    pub trouble: String,
    /// For troubles that take time, in milliseconds.
    pub trouble_ms: u64,
    /// Only there to make the state large.
    pub padding: String,
    /// Whether `check` finds something.
    pub broken: bool,
}

impl Default for Oldest {
    fn default() -> Self {
        Self {
            count: 0,
            ticks: 0,
            trouble: "none".to_owned(),
            trouble_ms: 0,
            padding: String::new(),
            broken: false,
        }
    }
}

/// What 0.2.0 cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Carry {
    /// Texts, oldest first.
    pub tags: Vec<String>,
}

/// A message under another name.
fn renamed(mut message: Message, names: [(&str, &str); 3]) -> Message {
    let name = names.iter().find(|(from, _)| *from == message.event);
    if let Some((_, to)) = name {
        (*to).clone_into(&mut message.event);
    }
    message
}

impl Migrate for Faulty {
    const FROM: &'static str = "~0.2";

    type Old = Old;
    type Carry = Carry;

    fn up(old: Old, carry: Option<Carry>, _changed: bool) -> Result<Self, MigrationError> {
        Ok(Self {
            old,
            tags: carry.unwrap_or_default().tags,
        })
    }

    fn down(&self) -> Result<Migrated<Old, Carry>, MigrationError> {
        Ok(Migrated {
            old: self.old.clone(),
            carry: Carry {
                tags: self.tags.clone(),
            },
        })
    }

    fn upcast(message: Message) -> Result<Message, Rejection> {
        let names = [("add", "count"), ("note", "remark"), ("totals", "overview")];
        Ok(renamed(message, names))
    }

    fn downcast(message: Message) -> Result<Message, Rejection> {
        match &*message.event {
            "note" => Err(Rejection::new("unknown_event", "0.2.0 shows no note")),
            "tag" => Err(Rejection::new("unknown_event", "0.2.0 takes no tags")),
            timer if timer.starts_with("ripen") => {
                Err(Rejection::new("unknown_timer", "nothing ripens in 0.2.0"))
            }
            _ => Ok(renamed(
                message,
                [("count", "add"), ("remark", "note"), ("overview", "totals")],
            )),
        }
    }

    fn samples(&self, random: &mut Random, count: usize) -> Vec<Message> {
        (0..count)
            .map(|_| {
                let text = format!("tag {:04x}", random.below(1 << 16));
                Message::new("tag", &json!({ "text": text }))
            })
            .collect()
    }
}
