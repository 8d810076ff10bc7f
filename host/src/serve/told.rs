//! What systemd is told of a host that runs: its release and upgrade in a line, and that
//! it is alive.

use std::sync::Arc;
use std::time::Duration;

use host_gateway::Gateway;
use host_model::Version;
use host_model::control::UpgradeStatus;
use host_upgrade::Upgrader;
use tokio::time::{MissedTickBehavior, interval};

use crate::notify;

/// How often the line is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of the watchdog's time: two words may be lost.
const BEATS_A_TIMEOUT: u32 = 3;

/// Tells it until the task is ended. Runs on the control runtime, and asks the data
/// runtime each time: where either does not answer, the watchdog hears nothing.
pub(super) async fn tell(
    gateway: Arc<Gateway>,
    upgrader: Arc<Upgrader>,
    rules: impl Fn() -> Version,
) {
    if !notify::is_asked() {
        return;
    }
    let watchdog = notify::watchdog_timeout();
    let every = watchdog.map_or(LOOK_EVERY, |it| LOOK_EVERY.min(it / BEATS_A_TIMEOUT));
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        looks.tick().await;
        let is_alive = gateway.beats().await;
        if watchdog.is_some() && is_alive {
            notify::watchdog();
        }
        let line = line(
            &rules(),
            &upgrader.permanent(),
            upgrader.status().as_ref(),
            is_alive,
        );
        if line != said {
            notify::status(&line);
            said = line;
        }
    }
}

fn line(
    rules: &Version,
    permanent: &Version,
    upgrade: Option<&UpgradeStatus>,
    is_alive: bool,
) -> String {
    let mut line = match upgrade {
        Some(upgrade) => {
            let paused = if upgrade.paused { ", paused" } else { "" };
            format!(
                "release {rules} rules; upgrade {} to {}: {}{paused}, {} actors migrated, {} to go",
                upgrade.from, upgrade.to, upgrade.state, upgrade.migrated, upgrade.remaining
            )
        }
        None if rules == permanent => format!("release {rules} is permanent"),
        None => format!("release {rules} rules, {permanent} is permanent"),
    };
    if !is_alive {
        line += "; the threads that run plugins are stuck";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_release_and_upgrade() {
        let (old, new) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        assert_eq!(line(&old, &old, None, true), "release 0.1.0 is permanent");
        let upgrade: UpgradeStatus = serde_json::from_value(serde_json::json!({
            "id": 1, "from": "0.1.0", "to": "0.2.0", "state": "switching", "migrated": 3,
            "remaining": 7, "probation_left_s": null, "reason": null, "paused": true,
        }))
        .unwrap();
        assert_eq!(
            line(&new, &old, Some(&upgrade), false),
            "release 0.2.0 rules; upgrade 0.1.0 to 0.2.0: switching, paused, 3 actors migrated, 7 to go; the threads that run plugins are stuck"
        );
    }
}
