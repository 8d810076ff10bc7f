//! Names of actors.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{KEY_BYTES_MAX, PLUGIN_NAME_BYTES_MAX};

/// An actor's id, `plugin:key`, as in topics, paths and the journal.
///
/// The plugin's name is 1 to 64 of `a-z 0-9 - _`; the key is 1 to 256 bytes of
/// UTF-8 without control characters. Cheap to clone.
///
/// ```
/// let id: host_model::ActorId = "donations:ramadan-2026".parse()?;
/// assert_eq!((id.plugin(), id.key()), ("donations", "ramadan-2026"));
/// # Ok::<(), host_model::id::InvalidActorId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActorId(Arc<str>);

/// A text that is no actor's id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is no actor id: {problem}")]
pub struct InvalidActorId {
    /// The text, cut to 80 characters.
    pub found: String,
    /// What is wrong with it, and what would be right.
    pub problem: &'static str,
}

impl ActorId {
    /// The id of `key` under `plugin`.
    ///
    /// # Errors
    ///
    /// [`InvalidActorId`] if either is out of the bounds above.
    pub fn new(plugin: &str, key: &str) -> Result<Self, InvalidActorId> {
        format!("{plugin}:{key}").parse()
    }

    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        self.split().0
    }

    /// The key within the plugin.
    #[must_use]
    pub fn key(&self) -> &str {
        self.split().1
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn split(&self) -> (&str, &str) {
        // A plugin's name is short: a plain loop is quicker than a search.
        let colon = self.0.bytes().position(|byte| byte == b':');
        let (plugin, key) = self.0.split_at(colon.expect("checked when it was made"));
        (plugin, &key[1..])
    }
}

/// Whether `name` can be a plugin's name.
#[must_use]
pub fn is_plugin_name(name: &str) -> bool {
    (1..=PLUGIN_NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

impl FromStr for ActorId {
    type Err = InvalidActorId;

    fn from_str(text: &str) -> Result<Self, InvalidActorId> {
        let problem = match text.split_once(':') {
            None => "it has no ':'; an id is plugin:key",
            Some((plugin, _)) if !is_plugin_name(plugin) => {
                "before the ':' stands a plugin's name, 1 to 64 of a-z 0-9 - _"
            }
            Some((_, key)) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
                "behind the ':' stands a key of 1 to 256 bytes"
            }
            Some((_, key)) if key.chars().any(char::is_control) => {
                "the key has a control character"
            }
            Some(_) => return Ok(Self(text.into())),
        };
        Err(InvalidActorId {
            found: text.chars().take(80).collect(),
            problem,
        })
    }
}

impl TryFrom<String> for ActorId {
    type Error = InvalidActorId;

    fn try_from(text: String) -> Result<Self, InvalidActorId> {
        text.parse()
    }
}

impl From<ActorId> for String {
    fn from(id: ActorId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_hold_colons_and_any_letters() {
        let id: ActorId = "zakat:علي:2026".parse().unwrap();
        assert_eq!((id.plugin(), id.key()), ("zakat", "علي:2026"));
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_reason() {
        for (text, word) in [
            ("donations", "no ':'"),
            (":x", "plugin's name"),
            ("Zakat:x", "plugin's name"),
            ("zakat:", "1 to 256"),
            ("zakat:a\nb", "control"),
        ] {
            let error = text.parse::<ActorId>().unwrap_err();
            assert!(error.to_string().contains(word), "{text:?}: {error}");
        }
        assert!(ActorId::new("zakat", &"k".repeat(257)).is_err());
        assert!(ActorId::new("zakat", &"k".repeat(256)).is_ok());
    }
}
