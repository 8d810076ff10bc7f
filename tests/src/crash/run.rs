//! A run: rounds of load, an upgrade perhaps, a kill, a restart and an audit.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use host_model::control::{HistoryRow, Outcome, UpgradeReport};
use serde_json::Value;
use test_postgres::Server;

use super::audit::{self, Findings};
use super::book::Book;
use super::campaigns::Campaigns;
use super::giver::{Field, Gate, Giver, Way};
use super::keys::Keys;
use super::kill;
use super::owner::Owner;
use super::{Dice, Report, trail};
use crate::Home;
use crate::command::Running;

/// Rounds after which others are given to, and the chain is verified.
const RENEW_AFTER: u64 = 12;

/// The longest load before a kill.
const LOAD_MS_MAX: u64 = 1_500;

/// Why an upgrade was taken back, or not begun, that a kill has cut.
pub const CUT: &str = "the host ended in the middle of it";

/// What a command ends with that is refused.
const EXIT_REFUSED: i32 = 1;

/// Why one is refused whose intent the store has not taken.
const NOT_RECORDED: &str = "not_recorded";

/// Which store the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The embedded one.
    Sqlite,
    /// A server of the run's own, which is killed as well.
    Postgres,
}

impl std::str::FromStr for Store {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            _ => bail!("STORE={name} is not known here; there are: sqlite, postgres"),
        }
    }
}

/// What a run shall be.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What is chosen follows from it.
    pub seed: u64,
    /// No round begins after this.
    pub time: Duration,
    /// No more rounds than this.
    pub rounds: u64,
    /// Givers over WebSockets.
    pub sockets: u64,
    /// Givers over HTTP.
    pub callers: u64,
    /// Those who declare over HTTP, under keys of the header.
    pub owners: u64,
    /// The store.
    pub store: Store,
}

/// Runs in `home`, which is new. Stops the host at the end.
///
/// # Errors
///
/// All that did not hold; the home is left as it then was.
pub fn run(home: &Home, settings: &Settings) -> Result<Report> {
    let server = match settings.store {
        Store::Sqlite => None,
        Store::Postgres => {
            let server = Server::start()?;
            home.configure(&format!("DATABASE_URL={}", server.database()?))?;
            Some(server)
        }
    };
    let began = Instant::now();
    let port = home.start()?.port;
    let field = Arc::new(Field {
        port,
        book: Book::default(),
        keys: Keys::default(),
        campaigns: Campaigns::default(),
        gate: Gate::default(),
    });
    field.campaigns.renew(home)?;
    let crowd = crowd(&field, settings)?;
    let mut run = Run {
        home,
        server,
        field: Arc::clone(&field),
        dice: Dice::new(settings.seed, u64::MAX - 1),
        report: Report {
            seed: settings.seed,
            ..Report::default()
        },
        last_upgrade: 0,
    };
    let ran = run.rounds(began, settings).and_then(|()| run.end());
    field.gate.end();
    for one in crowd {
        ensure!(one.join().is_ok(), "a giver or an owner has panicked");
    }
    if let Err(error) = ran {
        let kept = run.server.as_mut().map(Server::keep);
        let kept = kept.map_or_else(String::new, |path| {
            format!("; the server's data is kept in {}", path.display())
        });
        return Err(error.context(format!("SEED={}{kept}", settings.seed)));
    }
    let mut report = run.report;
    drop(run.field);
    report.took = began.elapsed();
    let field = Arc::into_inner(field).context("everyone has ended")?;
    (report.counts, report.keys) = (field.book.counts, field.keys);
    Ok(report)
}

/// Everyone who sends something, each on a thread.
fn crowd(field: &Arc<Field>, settings: &Settings) -> Result<Vec<JoinHandle<()>>> {
    let givers = settings.sockets + settings.callers;
    let one = |number: u64| {
        let (dice, field) = (Dice::new(settings.seed, number), Arc::clone(field));
        // Some kilobytes of JSON are all that anyone has on its stack.
        let thread = thread::Builder::new().stack_size(512 << 10);
        let spawned = if number < givers {
            let way = match number < settings.sockets {
                true => Way::Socket(None),
                false => Way::Http,
            };
            let giver = Giver {
                number,
                way,
                dice,
                field,
            };
            thread.spawn(|| giver.give())
        } else {
            let owner = Owner {
                number,
                dice,
                field,
            };
            thread.spawn(|| owner.declare())
        };
        spawned.context("start one who sends")
    };
    (0..givers + settings.owners).map(one).collect()
}

struct Run<'a> {
    home: &'a Home,
    /// None: the store is embedded.
    server: Option<Server>,
    field: Arc<Field>,
    dice: Dice,
    report: Report,
    /// The number of the last one that has ended.
    last_upgrade: u64,
}

impl Run<'_> {
    fn rounds(&mut self, began: Instant, settings: &Settings) -> Result<()> {
        while began.elapsed() < settings.time && self.report.rounds < settings.rounds {
            self.round()
                .with_context(|| format!("in round {}", self.report.rounds + 1))?;
            self.report.rounds += 1;
            if self.report.rounds.is_multiple_of(RENEW_AFTER) {
                self.verify_chain_and_renew()?;
            }
        }
        Ok(())
    }

    fn round(&mut self) -> Result<()> {
        self.load();
        let upgrade = match self.dice.percent(60) {
            true => Some(self.begin_upgrade()?),
            false => None,
        };
        if upgrade.is_some() && self.dice.percent(50) {
            // Most are to be met in the middle, which is short.
            thread::sleep(Duration::from_millis(self.dice.below(300)));
        } else {
            self.load();
        }
        let server = self.server.as_mut();
        kill::kill(self.home, server, &mut self.dice, &mut self.report.kills)?;
        if let Some(command) = upgrade {
            self.end_upgrade(command)?;
        }
        self.audit()
    }

    fn load(&mut self) {
        thread::sleep(Duration::from_millis(self.dice.below(LOAD_MS_MAX)));
    }

    fn begin_upgrade(&mut self) -> Result<Running> {
        let permanent = self.home.status()?.permanent.to_string();
        let other = match permanent.as_str() {
            "0.1.0" => "0.2.0",
            _ => "0.1.0",
        };
        // The older version refuses zakat, which givers go on to bring it: watched, it would
        // be left for that.
        let probation = match other == "0.2.0" && self.dice.percent(50) {
            true => "2s",
            false => "0s",
        };
        self.report.upgrades.begun += 1;
        self.home.begin(&[
            "upgrade",
            other,
            "--probation",
            probation,
            "--retry-failed",
            "--json",
        ])
    }

    /// What the command has said of it, and what the host knows that was killed meanwhile.
    fn end_upgrade(&mut self, command: Running) -> Result<()> {
        let ran = command.end()?;
        let said = ran.json::<UpgradeReport>().ok().map(|it| it.outcome);
        let rows: Vec<HistoryRow> = self.home.answer(&["history", "--limit", "1", "--json"])?;
        let row = rows.into_iter().find(|row| row.id > self.last_upgrade);
        self.last_upgrade = row.as_ref().map_or(self.last_upgrade, |row| row.id);
        let known = row.map(|row| row.report);
        let has_server = self.server.is_some();
        let upgrades = &mut self.report.upgrades;
        let ended = match &known {
            Some(report) if report.outcome == Outcome::Committed => match said {
                Some(Outcome::Committed) => &mut upgrades.committed,
                _ => &mut upgrades.cut,
            },
            _ if said == Some(Outcome::Committed) => {
                bail!("a commit was told, and there is {known:?}")
            }
            Some(report) if report.reason.as_deref() == Some(CUT) => &mut upgrades.cut,
            // Before anything of it was written down.
            None if ran.code != Some(EXIT_REFUSED) => &mut upgrades.cut,
            // A host that cannot reach its server begins nothing.
            Some(report)
                if has_server && matches!(report.outcome, Outcome::Refused | Outcome::Failed) =>
            {
                &mut upgrades.refused
            }
            None if has_server && ran.reason().is_ok_and(|it| it == NOT_RECORDED) => {
                &mut upgrades.refused
            }
            _ => bail!("no kill has cut it: {known:?}, {ran:?}"),
        };
        *ended += 1;
        Ok(())
    }

    /// Everyone waits while the book is held against the state.
    fn audit(&mut self) -> Result<()> {
        self.field.gate.close();
        let campaigns = self.field.campaigns.all();
        let found = self.one_version_rules(&campaigns).and_then(|()| {
            let actors: Vec<_> = campaigns
                .into_iter()
                .filter(|actor| !self.field.book.gifts(actor).is_empty())
                .collect();
            let mut findings = audit::audit(self.home, &self.field.book, &actors)?;
            audit::owners(self.home, &self.field.keys, &mut findings)?;
            Ok(findings)
        });
        self.field.gate.open();
        self.judge(found?)
    }

    fn judge(&mut self, findings: Findings) -> Result<()> {
        let wrong = self.field.book.take_wrong();
        ensure!(
            findings.hold() && wrong.is_empty(),
            "{findings}{}",
            wrong.join("\n")
        );
        self.report.open_there += findings.open_there;
        Ok(())
    }

    fn one_version_rules(&self, actors: &[String]) -> Result<()> {
        let status = self.home.settled()?;
        ensure!(
            status.version == status.permanent,
            "{} rules, and {} is permanent",
            status.version,
            status.permanent
        );
        for actor in actors {
            let version = self.home.state(actor)?.version;
            ensure!(
                version == status.version,
                "{actor} is in {version}, and {} rules",
                status.version
            );
        }
        Ok(())
    }

    /// The chain is proven beside those who give, and again with nobody at the store;
    /// and of one campaign the export has every gift, of one owner every key.
    fn verify_chain_and_renew(&mut self) -> Result<()> {
        let (_, beside) = trail::verify(self.home)?;
        self.field.gate.close();
        let stopped = self.home.stop().and_then(|()| self.prove());
        self.field.gate.open();
        stopped?;
        let (_, records) = self.report.chain;
        ensure!(
            records > beside,
            "the chain had {beside} records, and has {records}"
        );
        self.home.start()?;
        self.home.settled()?;
        self.field.campaigns.renew(self.home)
    }

    /// With nobody at the store.
    fn prove(&mut self) -> Result<()> {
        self.report.chain = trail::verify(self.home)?;
        let actor = self.field.campaigns.of(self.dice.below(1 << 20));
        let findings = trail::audit(self.home, &self.field.book, &actor)?;
        ensure!(findings.hold(), "the export of {actor}: {findings}");
        let owners = self.field.keys.owners();
        let chosen = self.dice.below(owners.len() as u64) as usize;
        if let Some(actor) = owners.get(chosen) {
            let findings = trail::keys(self.home, &self.field.keys, actor)?;
            ensure!(findings.hold(), "the export of {actor}: {findings}");
        }
        Ok(())
    }

    /// Everything once more, in a release that knows whose zakat was paid.
    fn end(&mut self) -> Result<()> {
        self.field.gate.close();
        let status = self.home.settled()?;
        if status.version.to_string() == "0.1.0" {
            let up = ["upgrade", "0.2.0", "--probation", "0s", "--retry-failed"];
            self.home.host(&up)?.ok()?;
        }
        let actors = self.field.book.actors();
        let mut findings = audit::audit(self.home, &self.field.book, &actors)?;
        audit::payments(self.home, &actors, &mut findings)?;
        audit::owners(self.home, &self.field.keys, &mut findings)?;
        self.report.gifts = findings.gifts;
        self.report.open_not = findings.open_not;
        let letters: Vec<Value> = self
            .home
            .host(&["dead-letters", "list", "--json"])?
            .ok()?
            .json()?;
        ensure!(letters.is_empty(), "there are dead letters: {letters:?}");
        self.judge(findings)?;
        self.home.stop()?;
        self.prove()?;
        self.home.done(&["store", "check"]).map(drop)
    }
}
