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
    /// Whether an actor is set aside.
    pub sets_aside: bool,
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

    /// How the history may call it; no name where it does not know of it.
    #[must_use]
    pub fn outcomes(self) -> &'static [&'static str] {
        match self {
            Self::NotBegun => &[],
            Self::Cancelled => &["failed", "refused"],
            Self::RolledBack => &["rolled_back"],
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
            sets_aside: false,
            leaves_letters: false,
            is_fatal: false,
            is_heard: false,
            is_slow: false,
        }
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
}
