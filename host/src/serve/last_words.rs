//! Whom the process before was bringing back when it died.

use std::io::ErrorKind;

use anyhow::{Context, Result};
use host_actors::Actors;
use host_upgrade::{Book, Upgrade};

use crate::home::Home;

/// Sets an actor aside whose way back ends the process. Where none has died yet, the next
/// death will tell. Where no upgrade is going back, nobody has said anything.
pub(super) async fn hear(
    home: &Home,
    actors: &Actors,
    going_back: Option<&mut Upgrade>,
) -> Result<()> {
    let file = home.last_words();
    let Some(upgrade) = going_back else {
        return match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("remove what was noted of a way back")
            }
            _ => Ok(()),
        };
    };
    let left = host_actors::last_words(&file).context("find whose way back the host died in")?;
    if let Some(actor) = left {
        let is_sure = upgrade.died_with(&actor);
        // Before the file is emptied: the next death would be the first one again.
        Book::new().upgrade(upgrade).write(actors).await?;
        if is_sure {
            let reason = "its way back ended the host, twice";
            actors.set_aside(&actor, reason).await;
        }
    }
    let listening = actors.listen_for_last_words(&file);
    listening.context("note whose way back the host is in")
}
