//! What the old release cannot hold: a note to `faulty`, and a gift to a waqf. While the
//! old release rules it is in a carry; whenever the new one does, it is all there.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::faulty;
use crate::home::Home;
use crate::http;

/// The key of both actors. A canary of half of all is ahead with it.
const KEY: &str = "keeper";

/// What `faulty` has counted before.
const COUNT: i64 = 11;

/// What it is told.
const TEXT: &str = "kept";

/// What is given, in a currency that the old release would have refused.
const GIFT: (&str, &str) = ("25.00", "EUR");

/// How far it is there.
#[derive(Debug, Default)]
pub(super) struct Kept {
    port: u16,
    notes: u64,
    /// Notes of which it is not known whether they were taken.
    open_notes: u64,
    has_given: bool,
}

impl Kept {
    /// Makes both actors, in the old release.
    pub(super) fn begin(port: u16) -> Result<Self> {
        faulty::told(port, KEY, "add", &json!({ "by": COUNT }))?;
        let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
        ensure!(donations(port, "open", &open)?, "a campaign is not opened");
        Ok(Self {
            port,
            ..Self::default()
        })
    }

    /// Says both where that is still to be done; the new release must take it.
    pub(super) fn say(&mut self) -> Result<()> {
        self.try_to_say();
        ensure!(
            self.is_said(),
            "the new release does not take what only it can hold: {self:?}"
        );
        Ok(())
    }

    /// Whether both were taken.
    pub(super) fn is_said(&self) -> bool {
        self.notes > 0 && self.has_given
    }

    /// Says both where that is still to be done, to whichever release rules.
    pub(super) fn try_to_say(&mut self) {
        if self.notes == 0 {
            match faulty::post(self.port, KEY, "note", &json!({ "text": TEXT })) {
                Ok((200, _)) => self.notes += 1,
                Ok((400..500, _)) => {}
                _ => self.open_notes += 1,
            }
        }
        if self.has_given {
            return;
        }
        let (amount, currency) = GIFT;
        let gift =
            json!({"donation_id": TEXT, "amount": amount, "currency": currency, "fund": "waqf"});
        // Under the same id it is the same gift, however often it is given.
        self.has_given = donations(self.port, "donate", &gift).unwrap_or(false);
    }

    /// What was taken is all there: of the release `version`, which rules.
    pub(super) fn holds(&self, home: &Home, version: &str) -> Result<()> {
        let found = faulty::summary(self.port, KEY)?;
        ensure!(found["count"] == COUNT, "faulty:{KEY}: {found}");
        if version == "0.1.0" {
            for (plugin, is_said) in [("faulty", self.notes > 0), ("donations", self.has_given)] {
                let state = home.state(&format!("{plugin}:{KEY}"))?;
                let carries: Vec<_> = state.carries.iter().map(ToString::to_string).collect();
                ensure!(
                    !is_said || carries == ["0.2.0"],
                    "{plugin}:{KEY} has the carries {carries:?}"
                );
            }
            return Ok(());
        }
        let notes = found["notes"].as_array().cloned().unwrap_or_default();
        let may_be = self.notes..=self.notes + self.open_notes;
        ensure!(
            notes.iter().all(|note| note == TEXT) && may_be.contains(&(notes.len() as u64)),
            "faulty:{KEY} was told {self:?}: {found}"
        );
        let path = format!("/api/v1/donations/{KEY}/summary");
        let found = http::request(self.port, "GET", &path, "")?.json()?;
        let (amount, currency) = GIFT;
        ensure!(
            !self.has_given || found["funds"]["waqf"][currency]["balance"] == amount,
            "donations:{KEY} was given {amount} {currency} for a waqf: {found}"
        );
        Ok(())
    }
}

/// Sends a command to the campaign; whether it was taken.
fn donations(port: u16, event: &str, payload: &Value) -> Result<bool> {
    let path = format!("/api/v1/donations/{KEY}/{event}");
    Ok(http::request(port, "POST", &path, &payload.to_string())?.status == 200)
}
