//! The way from 0.1.0 and back, and what goes wrong on it.

use host_sdk::{Message, Migrate, Migrated, MigrationError, Random, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Faulty, ruin, sleep};

/// A count that `added` cannot be told to who knows 0.1.0.
const UNTOLD_COUNT: i64 = 666_666_666;

/// The state of 0.1.0, field for field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Old {
    /// Sum of what was added.
    pub count: i64,
    /// Timers that have fired.
    pub ticks: u64,
    /// What goes wrong.
    pub trouble: Trouble,
    /// For troubles that take time, in milliseconds.
    pub trouble_ms: u64,
    /// Only there to make the state large.
    pub padding: String,
    /// Whether `check` finds something.
    pub broken: bool,
}

/// A mark in the state, as 0.1.0 keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// All goes well, both ways.
    #[default]
    None,
    /// `up` says that it cannot.
    UpFails,
    /// `up` panics.
    UpPanics,
    /// `up` sleeps for the planned time.
    UpSlow,
    /// `up` ends the process.
    UpAborts,
    /// `up` forgets the count: `down(up(S))` is not `S`.
    UpLoses,
    /// The state that `up` gives breaks an invariant.
    CheckFails,
    /// `down` says that it cannot.
    DownFails,
    /// `down` panics.
    DownPanics,
    /// `down` ends the process.
    DownAborts,
    /// `down` sleeps for the planned time.
    DownSlow,
    /// `down` leaves the notes out of the carry: `up(down(N))` is not `N`.
    DownLoses,
    /// `add` replies another count than 0.1.0 would.
    ReplyDiffers,
    /// `add` panics in 0.2.0.
    AddPanics,
    /// `add` sleeps for the planned time in 0.2.0.
    AddSlow,
    /// `add` is refused in 0.2.0.
    AddRefused,
    /// `up` writes where nothing is.
    UpSegfaults,
    /// `up` never ends.
    UpLoops,
    /// `up` takes all the memory that it gets.
    UpHogs,
    /// `up` opens a socket.
    UpConnects,
    /// `add` replies something else each time in 0.2.0.
    ReplyRandom,
    /// Timers panic in 0.2.0.
    TimersPanic,
    /// 0.1.0 answers `gone`, which 0.2.0 does not know.
    QueryGone,
}

/// What 0.1.0 cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Carry {
    /// Texts, oldest first.
    pub notes: Vec<String>,
}

impl Migrate for Faulty {
    const FROM: &'static str = "~0.1";

    type Old = Old;
    type Carry = Carry;

    fn up(mut old: Old, carry: Option<Carry>, _changed: bool) -> Result<Self, MigrationError> {
        match old.trouble {
            Trouble::UpFails => return Err(MigrationError::new("up fails, as it was told to")),
            Trouble::UpPanics => panic!("up panics, as it was told to"),
            Trouble::UpSlow => sleep(old.trouble_ms),
            Trouble::UpAborts => std::process::abort(),
            Trouble::UpLoses => old.count = 0,
            Trouble::UpSegfaults => ruin::segfault(),
            Trouble::UpLoops => ruin::never_end(),
            Trouble::UpHogs => ruin::take_all_memory(),
            Trouble::UpConnects => ruin::open_a_socket(),
            _ => {}
        }
        Ok(Self {
            old,
            notes: carry.unwrap_or_default().notes,
        })
    }

    fn down(&self) -> Result<Migrated<Old, Carry>, MigrationError> {
        let mut carry = Carry {
            notes: self.notes.clone(),
        };
        match self.old.trouble {
            Trouble::DownFails => return Err(MigrationError::new("down fails, as it was told to")),
            Trouble::DownPanics => panic!("down panics, as it was told to"),
            Trouble::DownAborts => std::process::abort(),
            Trouble::DownSlow => sleep(self.old.trouble_ms),
            Trouble::DownLoses => carry.notes.clear(),
            _ => {}
        }
        Ok(Migrated {
            old: self.old.clone(),
            carry,
        })
    }

    fn upcast(mut message: Message) -> Result<Message, Rejection> {
        // Nobody leaves memory here on a command's behalf.
        if message.event == "add_and_stop" {
            message.event = "add".to_owned();
        }
        Ok(message)
    }

    fn downcast(message: Message) -> Result<Message, Rejection> {
        match &*message.event {
            "note" => Err(Rejection::new("unknown_event", "0.1.0 takes no notes")),
            "totals" => Err(Rejection::new("unknown_event", "0.1.0 tells no totals")),
            "added" if message.payload["count"] == UNTOLD_COUNT => {
                panic!("downcast panics, as the count says")
            }
            timer if timer.starts_with("remind") => {
                Err(Rejection::new("unknown_timer", "0.1.0 reminds nobody"))
            }
            _ => Ok(message),
        }
    }

    fn samples(&self, random: &mut Random, count: usize) -> Vec<Message> {
        (0..count)
            .map(|_| {
                let text = format!("note {:04x}", random.below(1 << 16));
                Message::new("note", &json!({ "text": text }))
            })
            .collect()
    }
}
