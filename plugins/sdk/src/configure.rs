//! What a plugin is configured by: declared by its author, set by an operator.

use std::any::Any;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Plugin;

/// A plugin that an operator configures.
///
/// The host reads each setting from the environment, `etc/env`, `etc/host.toml` and the
/// release's defaults, the strongest first, and gives the plugin all of them before it
/// rules: `ZAKAT_NISAB_GRAMS`, or `nisab_grams` of `[plugins.zakat]`, is the setting
/// `nisab_grams` of the plugin `zakat`. What is required and missing, or is not what it
/// should be, stops a start and refuses an upgrade, with everything else that is wrong.
///
/// **`apply`, `up` and `down` must not look at it**: a replay, under whatever is set then,
/// has to give the same state. What matters for a state is decided in `decide` and stands
/// in the event.
///
/// ```
/// use host_sdk::{Configure, Setting};
/// # use host_sdk::{Cx, Decision, Plugin, Rejection, Reply};
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Zakat {}
/// # #[derive(serde::Deserialize, schemars::JsonSchema)] #[serde(rename_all = "snake_case")] enum Command { Pay {} }
/// # #[derive(serde::Deserialize, schemars::JsonSchema)] #[serde(rename_all = "snake_case")] enum Query { Summary {} }
/// # impl Plugin for Zakat {
/// #     const NAME: &'static str = "zakat";
/// #     const VERSION: &'static str = "0.1.0";
/// #     type Command = Command; type Query = Query; type Event = ();
/// #     fn new(_: &str) -> Self { Self {} }
/// #     fn decide(&self, _: &Cx<'_>, _: Command) -> Result<Decision<()>, Rejection> { Ok(Decision::event(())) }
/// #     fn apply(&mut self, _: ()) {}
/// #     fn query(&self, _: &Cx<'_>, _: Query) -> Result<Reply, Rejection> { Ok(Reply::json(self)) }
/// # }
///
/// #[derive(serde::Deserialize)]
/// struct Config {
///     nisab_grams: u32,
///     notify: Option<String>,
/// }
///
/// impl Configure for Zakat {
///     type Config = Config;
///     const SETTINGS: &'static [Setting] = &[
///         Setting::integer("nisab_grams", 1, 1_000).default("85").about("grams of gold"),
///         Setting::text("notify").secret().about("whom to tell of a payment"),
///     ];
/// }
///
/// // A test sets it as the host does.
/// Zakat::configure(Config { nisab_grams: 85, notify: None });
/// assert_eq!(Zakat::config().nisab_grams, 85);
/// ```
///
/// Exported by `export_plugin!(Zakat: Configure)`, or `export_plugin!(Zakat: Migrate +
/// Configure)`.
pub trait Configure: Plugin {
    /// What is set, typed. Settings that are neither required nor have a default are
    /// `Option`. What else must hold, its `Deserialize` may refuse (`serde(try_from)`): that
    /// refuses the start, too.
    type Config: DeserializeOwned + Send + Sync + 'static;
    /// What can be set.
    const SETTINGS: &'static [Setting];

    /// What is set now. It is the same one throughout a call that keeps it.
    ///
    /// # Panics
    ///
    /// Before the host has given it, or [`Configure::configure`] has: a panic is the
    /// caller's error, and no actor changes.
    #[must_use]
    fn config() -> Arc<Self::Config> {
        let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner);
        let current = current.clone().and_then(|it| it.downcast().ok());
        current.unwrap_or_else(|| panic!("{} {} is not configured", Self::NAME, Self::VERSION))
    }

    /// Sets it, for this process and this plugin: as the host does, for a test.
    fn configure(config: Self::Config) {
        *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(config));
    }
}

/// What the one plugin of this library is configured by.
static CURRENT: RwLock<Option<Arc<dyn Any + Send + Sync>>> = RwLock::new(None);

/// A setting: its name, what it may be, and what it is where nobody sets it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Setting {
    name: &'static str,
    #[serde(flatten)]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    required: bool,
    secret: bool,
    about: &'static str,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Text,
    Integer { min: i64, max: i64 },
    Decimal,
    Boolean,
    Choice { of: &'static [&'static str] },
}

impl Setting {
    /// Any text: a `String`.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self::of(name, Kind::Text)
    }

    /// A whole number in bounds, both included: an integer of any type that has room for
    /// them.
    #[must_use]
    pub const fn integer(name: &'static str, min: i64, max: i64) -> Self {
        Self::of(name, Kind::Integer { min, max })
    }

    /// A number in decimal digits, exact: a `String`, or a type of decimals that is read
    /// from one.
    #[must_use]
    pub const fn decimal(name: &'static str) -> Self {
        Self::of(name, Kind::Decimal)
    }

    /// `yes` or `no`: a `bool`.
    #[must_use]
    pub const fn boolean(name: &'static str) -> Self {
        Self::of(name, Kind::Boolean)
    }

    /// One of a few words: a `String`, or an enum of units.
    #[must_use]
    pub const fn choice(name: &'static str, of: &'static [&'static str]) -> Self {
        Self::of(name, Kind::Choice { of })
    }

    /// What it is where nobody sets it, as an operator would write it.
    #[must_use]
    pub const fn default(self, value: &'static str) -> Self {
        Self {
            default: Some(value),
            ..self
        }
    }

    /// The plugin cannot do without it.
    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }

    /// Its value is never shown.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }

    /// What it is for, in a few words for an operator.
    #[must_use]
    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    const fn of(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            default: None,
            required: false,
            secret: false,
            about: "",
        }
    }
}
