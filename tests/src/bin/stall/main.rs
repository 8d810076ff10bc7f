//! The stall bench: what clients see while 100,000 live actors change their
//! version, from the outside and with the real host.
//!
//! Four paced clients give 1,000 durable donations a second to campaigns chosen at
//! random, over one WebSocket connection each, and never stop: through `host
//! upgrade`, through `host rollback`, and in between. After every switch comes a
//! steady window exactly as long as the switch took, so that the longest silence
//! of the one can be held against that of the other. At the end every campaign is
//! asked for its count and its total: what was acknowledged has to be there.
//!
//! With the argument `sizes`: the same for few and for many actors and for large ones,
//! each beside the peer and the large ones beside a bare loop, as one table; see
//! [`sizes`].
//!
//! `make bench` runs it with a home of the profile `release`. How much it does is
//! set in the environment; see [`settings`].

mod bare;
mod cpu;
mod fill;
mod ledger;
mod paced;
mod peer;
mod report;
mod run;
mod schedule;
mod settings;
mod sizes;
mod window;

use anyhow::{Result, bail, ensure};

use crate::settings::Settings;

fn main() -> Result<()> {
    let settings = Settings::from_environment()?;
    match std::env::args().nth(1).as_deref() {
        None => {
            let (awake, _) = run::run(&settings)?.awake;
            let all = u64::from(settings.all());
            ensure!(awake >= all, "only {awake} of {all} actors were awake");
            Ok(())
        }
        Some("sizes") => sizes::run(&settings),
        Some(other) => bail!("there is `stall` and `stall sizes`, and no {other:?}"),
    }
}
