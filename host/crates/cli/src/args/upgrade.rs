//! The grammar of what changes the release: `host upgrade`, `host rehearse`.

use clap::{Args, Subcommand};
use host_model::{Share, Version, control};

use crate::duration::{deadline, whole_seconds};

/// `host upgrade V`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Upgrade {
    /// Of the upgrade that is under way.
    #[command(subcommand)]
    pub pace: Option<Pace>,
    /// The release to upgrade to.
    #[arg(value_name = "V", required = true, value_parser = super::release)]
    pub version: Option<Version>,
    /// Watch it for so long before it becomes permanent, and each step of a canary: 30s,
    /// 2m, 0s [default: the plan's].
    #[arg(long, value_name = "D", value_parser = whole_seconds)]
    pub probation: Option<u64>,
    /// Let this share of the actors go first, always the same ones, and watch them: 5%.
    #[arg(long, value_name = "P", value_parser = share)]
    pub canary: Option<Share>,
    /// Then these shares, each watched like the first: 25%,100%.
    #[arg(long, value_name = "P,P", value_delimiter = ',', requires = "canary", value_parser = share)]
    pub ramp: Vec<Share>,
    /// Return once the new release rules; the host watches and commits alone.
    #[arg(long)]
    pub detach: bool,
    /// Go on even if a step has no way back.
    #[arg(long)]
    pub one_way: bool,
    /// Try a release again that was rolled back before.
    #[arg(long)]
    pub retry_failed: bool,
    /// Switch without a rehearsal: what it would do to the actors is then not known.
    #[arg(long, conflicts_with_all = ["sample", "all"])]
    pub no_rehearsal: bool,
    /// Whom to rehearse.
    #[command(flatten)]
    pub extent: Extent,
    /// Go back if one actor is busy for so long: 30s, 2m, up to 24h [default: 30s, or more
    /// where an appup asks for it].
    #[arg(long, value_name = "D", value_parser = deadline)]
    pub deadline: Option<u64>,
}

/// Whom to rehearse.
#[derive(Debug, Clone, Copy, Args)]
pub struct Extent {
    /// Rehearse so many actors of each plugin, taken by chance, or all if it has no more
    /// [default: 46050].
    #[arg(long, value_name = "N", conflicts_with = "all", value_parser = sample)]
    pub sample: Option<u64>,
    /// Rehearse all actors, however many.
    #[arg(long)]
    pub all: bool,
}

impl From<Extent> for control::Extent {
    fn from(Extent { sample, all }: Extent) -> Self {
        Self { sample, all }
    }
}

/// A number of actors. A rehearsal of none would be none.
fn sample(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("a rehearsal of no actor proves nothing; take 1 or more".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is no whole number of actors".to_owned()),
    }
}

/// A share with its unit: `0.5` may be meant as a half.
fn share(text: &str) -> Result<Share, String> {
    let share: Share = text.parse().map_err(|e| format!("{e}"))?;
    match text.trim().ends_with('%') {
        true => Ok(share),
        false => Err(format!(
            "a share is a percentage; write {share} if that is meant"
        )),
    }
}

/// `host upgrade pause`, `host upgrade resume`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Pace {
    /// Stop the sweep, the ramp and the clock of probation. Who has come over stays;
    /// others still come at their next message.
    #[command(after_help = "Example:\n  host upgrade pause")]
    Pause,
    /// Go on.
    #[command(after_help = "Example:\n  host upgrade resume")]
    Resume,
}
