//! One way to strike an upgrade in one of its steps: plain data, which [`super::run`]
//! carries out.

/// What an upgrade of the plugin `faulty` asks for where nothing is to be struck.
pub const PLAIN: &str = r#"{ update = "state" }"#;

/// One way.
#[derive(Debug, Clone)]
pub struct How {
    /// In words.
    pub what: String,
    /// `up` and `down` of the appup.
    pub appup: [&'static str; 2],
    /// What goes wrong in a plugin: see `Trouble` of `faulty`.
    pub mark: Option<(&'static str, u64)>,
    /// In whom.
    pub whom: Whom,
    /// How long the new release is watched.
    pub probation: &'static str,
    /// More options of `host upgrade`.
    pub more: Vec<&'static str>,
    /// Whether it is rehearsed.
    pub rehearsed: bool,
    /// Rules of the disk, from the moment when the command of [`How::course`] begins.
    pub disk: Vec<String>,
    /// The state of an upgrade behind which the host kills itself.
    pub abort_after: Option<&'static str>,
    /// The state of an upgrade in which the host is killed from outside.
    pub kill_in: Option<&'static str>,
    /// A command that an actor is busy with when it begins, and for how long.
    pub busy: Option<(&'static str, u64)>,
    /// What a library does that the new release has beside the others, when it starts.
    pub library: Option<&'static str>,
    /// A file of the new release that is damaged.
    pub damaged: Option<&'static str>,
    /// What is done.
    pub course: Course,
    /// How it ends.
    pub ends: Ends,
    /// The last state on its way, before those of its end; one of these, where that is
    /// left to chance.
    pub last: Vec<&'static str>,
    /// What is said of why it ended there; nothing where it commits.
    pub why: &'static str,
    /// Whether an actor is set aside.
    pub sets_aside: bool,
    /// Whether an actor goes back by its commands, for its state cannot.
    pub is_rebuilt: bool,
    /// Whether messages come to nothing, and are dead letters.
    pub leaves_letters: bool,
    /// Whether the host's process ends of it: the keeper boots another.
    pub is_fatal: bool,
    /// Whether those hear of it who give to campaigns.
    pub is_heard: bool,
    /// Whether it takes so long that only the whole matrix has it.
    pub is_slow: bool,
}

/// In whom it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// One actor that clients call all the time.
    Called,
    /// One actor that is asleep.
    Asleep,
    /// All actors that clients call.
    All,
}

/// What is done while it is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// An upgrade.
    Upgrade,
    /// The way back from a release that is watched.
    RollBack,
    /// A commit, when it was struck in probation.
    Commit,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Nothing was begun, and nothing is known of it.
    NotBegun,
    /// It was cancelled before the switch.
    Cancelled,
    /// Everyone is back.
    RolledBack,
    /// As if nothing had been.
    Committed,
}

impl Ends {
    /// The release that rules then.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Committed => "0.2.0",
            _ => "0.1.0",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> &'static str {
        match self {
            Self::Committed => "0.1.0",
            _ => "0.2.0",
        }
    }

    /// How the history may call it; none where it does not know of it.
    #[must_use]
    pub fn outcomes(self) -> Option<&'static [&'static str]> {
        match self {
            Self::NotBegun => None,
            Self::Cancelled => Some(&["failed", "refused"]),
            Self::RolledBack => Some(&["rolled_back"]),
            Self::Committed => Some(&["committed"]),
        }
    }

    /// The states in which it ends.
    fn states(self) -> &'static [&'static str] {
        match self {
            Self::NotBegun => &[],
            Self::Cancelled => &["cancelled"],
            Self::RolledBack => &["rolling_back", "rolled_back"],
            Self::Committed => &["committed"],
        }
    }
}

impl How {
    /// An upgrade that ends like that, struck by nothing yet.
    #[must_use]
    pub fn new(what: impl Into<String>, ends: Ends) -> Self {
        Self {
            what: what.into(),
            appup: [PLAIN; 2],
            mark: None,
            whom: Whom::Called,
            probation: "0s",
            more: Vec::new(),
            rehearsed: false,
            disk: Vec::new(),
            abort_after: None,
            kill_in: None,
            busy: None,
            library: None,
            damaged: None,
            course: Course::Upgrade,
            ends,
            last: vec!["probation"],
            why: "",
            sets_aside: false,
            is_rebuilt: false,
            leaves_letters: false,
            is_fatal: false,
            is_heard: false,
            is_slow: false,
        }
    }

    /// It ends from this state, or one of these, for a reason with these words.
    #[must_use]
    pub fn from(mut self, last: &[&'static str], why: &'static str) -> Self {
        self.last = last.to_vec();
        self.why = why;
        self
    }

    /// With this way there in the appup.
    #[must_use]
    pub fn up(mut self, up: &'static str) -> Self {
        self.appup[0] = up;
        self
    }

    /// With this way back in the appup.
    #[must_use]
    pub fn down(mut self, down: &'static str) -> Self {
        self.appup[1] = down;
        self
    }

    /// With a mark in these actors.
    #[must_use]
    pub fn mark(mut self, whom: Whom, what: &'static str, ms: u64) -> Self {
        self.whom = whom;
        self.mark = Some((what, ms));
        self
    }

    /// In these actors, where no mark says so.
    #[must_use]
    pub fn whom(mut self, whom: Whom) -> Self {
        self.whom = whom;
        self
    }

    /// Watched for so long.
    #[must_use]
    pub fn watched(mut self, probation: &'static str) -> Self {
        self.probation = probation;
        self
    }

    /// With more options.
    #[must_use]
    pub fn more(mut self, options: &[&'static str]) -> Self {
        self.more.extend(options);
        self
    }

    /// With a rehearsal.
    #[must_use]
    pub fn rehearsed(mut self) -> Self {
        self.rehearsed = true;
        self
    }

    /// With a disk that does this.
    #[must_use]
    pub fn disk(mut self, rule: impl Into<String>) -> Self {
        let rule = rule.into();
        let does = |what: &str| rule.split(' ').any(|word| word == what);
        let is_store = rule.contains("host.db");
        let is_fatal = does("kill") || (is_store && does("eio"));
        self.is_fatal |= is_fatal;
        self.is_heard |= is_fatal || (is_store && does("enospc"));
        self.disk.push(rule);
        self
    }

    /// With a host that kills itself behind this transition.
    #[must_use]
    pub fn abort_after(mut self, state: &'static str) -> Self {
        self.abort_after = Some(state);
        self.fatal()
    }

    /// With a host that is killed in this state.
    #[must_use]
    pub fn kill_in(mut self, state: &'static str) -> Self {
        self.kill_in = Some(state);
        self.fatal()
    }

    /// The host's process ends of it.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.is_fatal = true;
        self.heard()
    }

    /// Those hear of it who give to campaigns.
    #[must_use]
    pub fn heard(mut self) -> Self {
        self.is_heard = true;
        self
    }

    /// With an actor that is busy.
    #[must_use]
    pub fn busy(mut self, event: &'static str, ms: u64) -> Self {
        self.busy = Some((event, ms));
        self
    }

    /// With a library beside the others that does this when it starts.
    #[must_use]
    pub fn library(mut self, behaviour: &'static str) -> Self {
        self.library = Some(behaviour);
        self
    }

    /// With this file of the release damaged.
    #[must_use]
    pub fn damaged(mut self, file: &'static str) -> Self {
        self.damaged = Some(file);
        self
    }

    /// Struck on this course.
    #[must_use]
    pub fn course(mut self, course: Course) -> Self {
        self.course = course;
        self
    }

    /// One actor is set aside, whole, in the new version.
    #[must_use]
    pub fn sets_aside(mut self) -> Self {
        self.sets_aside = true;
        self
    }

    /// One actor goes back by its commands, for its state cannot.
    #[must_use]
    pub fn rebuilt(mut self) -> Self {
        self.is_rebuilt = true;
        self
    }

    /// Messages come to nothing: each is a dead letter, and its caller was told.
    #[must_use]
    pub fn leaves_letters(mut self) -> Self {
        self.leaves_letters = true;
        self
    }

    /// Too long for every day.
    #[must_use]
    pub fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    /// All the states that it comes to, in their order: one such way, or one of several.
    #[must_use]
    pub fn ways(&self) -> Vec<Vec<&'static str>> {
        let is_canary = self.more.contains(&"--canary");
        let all = [
            ("planned", true),
            ("verified", true),
            ("rehearsed", self.rehearsed),
            ("staged", true),
            ("canary", is_canary),
            ("switching", true),
            ("probation", true),
        ];
        let states = all.into_iter().filter(|(_, is_there)| *is_there);
        let states: Vec<_> = states.map(|(state, _)| state).collect();
        let up_to = |last| {
            let at = states.iter().position(|state| *state == last);
            let at = at.expect("a way ends from a state that it comes to");
            [&states[..=at], self.ends.states()].concat()
        };
        self.last.iter().copied().map(up_to).collect()
    }

    /// Whether the new release is watched for longer than a moment.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.probation != "0s"
    }

    /// Whether the store has no room for anything, from some moment on.
    #[must_use]
    pub fn fills_the_disk(&self) -> bool {
        let is_full = |rule: &String| rule.starts_with("write host.db-wal 1 all enospc");
        self.disk.iter().any(is_full)
    }

    /// The reasons with which any client may be refused.
    #[must_use]
    pub fn heard_by_all(&self) -> Vec<&'static str> {
        let does = |what: &str| self.disk.iter().any(|rule| rule.contains(what));
        let may_be: &[_] = if does("eio") {
            &["outcome_unknown", "not_applied", "not_woken", "stopping"]
        } else if does("enospc") {
            &["not_applied"]
        } else if does("stall") {
            &["timeout"]
        } else if self.more.contains(&"--deadline") {
            // The host ends by itself, and does not wait for who is in that code.
            &["outcome_unknown", "stopping"]
        } else {
            &[]
        };
        may_be.iter().copied().filter(|_| self.is_heard).collect()
    }

    /// Those with which clients of `faulty` may be refused, beside these.
    #[must_use]
    pub fn heard_of_faulty(&self) -> Vec<&'static str> {
        match self.mark {
            Some(("add_refused", _)) => vec!["refused"],
            Some(("add_panics", _)) => vec!["actor_crashed"],
            // Until it is released.
            _ if self.sets_aside => vec!["quarantined"],
            _ => vec![],
        }
    }
}
