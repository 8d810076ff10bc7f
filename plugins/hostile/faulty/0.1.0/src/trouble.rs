//! What is to go wrong at the next change of version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mark in the state. 0.1.0 only keeps it; 0.2.0 acts on it.
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
