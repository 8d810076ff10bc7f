//! What a plugin can be configured by, and what is right for it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes of a setting's name.
const NAME_BYTES_MAX: usize = 64;

/// A setting that a plugin declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSetting {
    /// Its name within the plugin: `nisab_grams`.
    pub name: String,
    /// What it may be.
    #[serde(flatten)]
    pub kind: SettingKind,
    /// What it is where nobody sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the plugin cannot do without it.
    #[serde(default)]
    pub required: bool,
    /// Whether its value is never shown.
    #[serde(default)]
    pub secret: bool,
    /// What it is for, in a few words.
    #[serde(default)]
    pub about: String,
}

/// What a setting may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SettingKind {
    /// Any text.
    Text,
    /// A whole number in bounds.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A number in decimal digits, kept as it is written: `2.5`.
    Decimal,
    /// `yes` or `no`.
    Boolean,
    /// One of a few words.
    Choice {
        /// Them.
        of: Vec<String>,
    },
}

impl PluginSetting {
    /// Its name in the environment: `ZAKAT_NISAB_GRAMS`.
    ///
    /// ```
    /// use host_model::setting::{PluginSetting, SettingKind};
    ///
    /// let setting = PluginSetting {
    ///     name: "nisab_grams".to_owned(),
    ///     kind: SettingKind::Decimal,
    ///     default: Some("85".to_owned()),
    ///     required: false,
    ///     secret: false,
    ///     about: String::new(),
    /// };
    /// assert_eq!(setting.key("zakat"), "ZAKAT_NISAB_GRAMS");
    /// assert_eq!(setting.read("84.5"), Ok("84.5".into()));
    /// assert!(setting.read("many").is_err());
    /// ```
    #[must_use]
    pub fn key(&self, plugin: &str) -> String {
        key(plugin, &self.name)
    }

    /// A value of it, as a plugin gets it: numbers and truths are those of JSON, all else
    /// is text.
    ///
    /// # Errors
    ///
    /// What is wanted; the value is not repeated.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        match &self.kind {
            SettingKind::Text => Ok(json!(text)),
            SettingKind::Integer { min, max } => {
                let number = text.parse().ok().filter(|it| (min..=max).contains(&it));
                let number: Option<i64> = number;
                let wanted = || format!("a whole number, {min} to {max}");
                number.map(|it| json!(it)).ok_or_else(wanted)
            }
            SettingKind::Decimal => match is_decimal(text) {
                true => Ok(json!(text)),
                false => Err("a number in decimal digits, such as 2.5".to_owned()),
            },
            SettingKind::Boolean => match text {
                "yes" => Ok(json!(true)),
                "no" => Ok(json!(false)),
                _ => Err("yes or no".to_owned()),
            },
            SettingKind::Choice { of } => match of.iter().any(|it| it == text) {
                true => Ok(json!(text)),
                false => Err(format!("one of {}", of.join(", "))),
            },
        }
    }

    /// What is wrong with the declaration itself, which is its author's doing.
    ///
    /// # Errors
    ///
    /// In a sentence.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase())
            || !name.chars().all(fits)
            || name.len() > NAME_BYTES_MAX
        {
            return Err(format!(
                "its setting {name:?} has no name such as nisab_grams: a letter, then a-z, 0-9 and _, at most {NAME_BYTES_MAX} in all"
            ));
        }
        match &self.default {
            Some(_) if self.required => Err(format!(
                "its setting {name} is required and has a default: it can be one of the two"
            )),
            Some(default) => self.read(default).map(drop).map_err(|wanted| {
                format!("its setting {name} has the default {default:?}, which is not {wanted}")
            }),
            None => Ok(()),
        }
    }
}

/// The name in the environment of a setting of a plugin.
#[must_use]
pub fn key(plugin: &str, name: &str) -> String {
    format!("{plugin}_{name}").replace('-', "_").to_uppercase()
}

/// Digits, with a sign before and a point between where need be.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    all(whole) && all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: SettingKind) -> PluginSetting {
        PluginSetting {
            name: "x".to_owned(),
            kind,
            default: None,
            required: false,
            secret: false,
            about: String::new(),
        }
    }

    #[test]
    fn a_value_is_what_its_kind_allows() {
        let choice = || SettingKind::Choice {
            of: vec!["gold".to_owned(), "silver".to_owned()],
        };
        let integer = || SettingKind::Integer { min: -1, max: 9 };
        for (kind, text, value) in [
            (SettingKind::Text, "a b", json!("a b")),
            (integer(), "-1", json!(-1)),
            (SettingKind::Decimal, "-0.50", json!("-0.50")),
            (SettingKind::Boolean, "yes", json!(true)),
            (choice(), "silver", json!("silver")),
        ] {
            assert_eq!(of(kind).read(text), Ok(value));
        }
        for (kind, text) in [
            (integer(), "10"),
            (integer(), "1.0"),
            (SettingKind::Decimal, "1e9"),
            (SettingKind::Decimal, "."),
            (SettingKind::Decimal, "1."),
            (SettingKind::Boolean, "true"),
            (choice(), "tin"),
        ] {
            assert!(of(kind).read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_declaration_that_cannot_be_kept_is_told() {
        let sound = of(SettingKind::Boolean);
        assert_eq!(sound.check(), Ok(()));
        let wrong = |change: fn(&mut PluginSetting)| {
            let mut setting = sound.clone();
            change(&mut setting);
            setting.check().unwrap_err()
        };
        assert!(wrong(|it| it.name = "Nisab".to_owned()).contains("no name such as"));
        assert!(wrong(|it| it.name = "1".to_owned()).contains("no name such as"));
        assert!(wrong(|it| it.default = Some("true".to_owned())).contains("not yes or no"));
        let both = |it: &mut PluginSetting| {
            (it.required, it.default) = (true, Some("yes".to_owned()));
        };
        assert!(wrong(both).contains("one of the two"));
    }
}
