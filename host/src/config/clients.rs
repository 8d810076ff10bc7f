//! Whom the host lets in: tokens, origins, proxies, and how much anybody may do.

use std::path::PathBuf;
use std::str::FromStr as _;

use host_gateway::{
    ClientLimits, KeyRing, OriginPattern, Origins, Proxies, ProxyHeader, Rates, TokenSource,
};

use super::list::members;
use super::{ConfigFaults, Environment, Reader, Secret, defaults, secret};
use crate::home::Home;
use crate::settings::Settings;

/// Connections and messages: more than a machine can have.
const COUNT_MAX: u64 = 1_000_000_000;

/// Bytes a second: more than a machine can take.
const BYTES_MAX: u64 = 1 << 40;

/// Origins and networks in a list: each of them is looked at for each request.
const LISTED_MAX: usize = 1_000;

/// Bytes of the name that tokens are for: a name of a host, or an address.
const AUDIENCE_BYTES_MAX: usize = 255;

/// Who may come, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    /// Whether tokens are read, and plugins asked what their bearers may do.
    pub(crate) auth: bool,
    /// The secret before this one: what was signed by it is taken still.
    pub(crate) secret_key_base_old: Option<Secret>,
    /// A file of public keys.
    pub(crate) token_keys_file: Option<PathBuf>,
    /// What a token's `aud` names.
    pub(crate) audience: String,
    /// Whose pages may open a WebSocket; none: everybody's.
    pub(crate) origins: Option<Origins>,
    /// Who may say for whom they ask.
    pub(crate) proxies: Proxies,
    /// How much anybody may do.
    pub(crate) limits: ClientLimits,
}

/// What tokens are signed with by `host gen token`, and for whom.
#[derive(Debug)]
pub(crate) struct Issuing {
    pub(crate) secret: Option<Secret>,
    pub(crate) audience: String,
}

impl Clients {
    /// Where the keys are; none, where nobody is asked for a token.
    pub(crate) fn tokens(&self, secret: Option<&Secret>) -> Option<TokenSource> {
        let secrets = secret.into_iter().chain(&self.secret_key_base_old);
        self.auth.then(|| TokenSource {
            secrets: secrets.map(|it| it.expose().to_owned()).collect(),
            file: self.token_keys_file.clone(),
            audience: self.audience.clone(),
        })
    }
}

impl Issuing {
    /// As a home's settings have it.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) fn of(settings: &Settings) -> Result<Self, ConfigFaults> {
        let mut reader = Reader::new(settings);
        let host = reader.host(false);
        let issuing = Self {
            secret: reader.secret(false),
            audience: reader.audience(&host),
        };
        reader.finish(issuing)
    }
}

/// What the setting `key`, which nobody sets, is by what others are set to.
pub(super) fn derived(key: &str, settings: &Settings, environment: Environment) -> Option<String> {
    let mut reader = Reader::new(settings);
    let port = reader.port("PORT", defaults::PORT);
    let (scheme, url_port) = reader.url(environment, port);
    let is_named = ["HOST", "PHX_HOST"].map(|key| settings.get(key).is_some());
    match (key, is_named) {
        ("HOST", [_, true]) => Some(reader.host(false)),
        ("TOKEN_AUDIENCE", [false, false]) if environment == Environment::Prod => None,
        ("TOKEN_AUDIENCE", _) => Some(reader.host(false)),
        ("URL_PORT", _) => Some(url_port.to_string()),
        ("URL_SCHEME", _) => Some(scheme.to_owned()),
        _ => None,
    }
}

impl Reader<'_> {
    pub(super) fn clients(
        &mut self,
        environment: Environment,
        home: &Home,
        host: &str,
        port: u16,
    ) -> Clients {
        let auth = self.read("AUTH", "on or off", |value| match value {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        });
        let auth = auth.unwrap_or(defaults::auth(environment));
        let token_keys_file = self.with("TOKEN_KEYS_FILE", |path| {
            let path = home.root.join(path);
            let keys = KeyRing::of_file(&path);
            keys.map(|_| path).map_err(|error| error.to_string())
        });
        let has_no_key = ["SECRET_KEY_BASE", "TOKEN_KEYS_FILE"]
            .iter()
            .all(|key| self.is_missing(key));
        // In production it is missed anyway.
        if auth && has_no_key && environment == Environment::Dev {
            self.with("AUTH", |_| {
                Err::<(), _>(
                    "it is on, and nothing is there to verify a token by: set SECRET_KEY_BASE, which `host gen secret` makes, or TOKEN_KEYS_FILE"
                        .to_owned(),
                )
            });
        }
        Clients {
            auth,
            secret_key_base_old: self.with("SECRET_KEY_BASE_OLD", secret),
            token_keys_file,
            audience: self.audience(host),
            origins: self.origins(environment, host, port),
            proxies: self.proxies(),
            limits: self.client_limits(),
        }
    }

    fn audience(&mut self, host: &str) -> String {
        let audience = self.with("TOKEN_AUDIENCE", |value| {
            match value.len() > AUDIENCE_BYTES_MAX || value.contains(char::is_whitespace) {
                true => Err(format!(
                    "{value:?} is no audience such as give.example.org: at most {AUDIENCE_BYTES_MAX} bytes without a space"
                )),
                false => Ok(value.to_owned()),
            }
        });
        audience.unwrap_or_else(|| host.to_owned())
    }

    fn origins(&mut self, environment: Environment, host: &str, port: u16) -> Option<Origins> {
        let (scheme, port) = self.url(environment, port);
        let others = self.with_all("ALLOWED_ORIGINS", |others| match others.trim() {
            "*" => Ok(None),
            others => members(others, LISTED_MAX, |it| {
                OriginPattern::from_str(it).map_err(|error| error.to_string())
            })
            .map(Some),
        });
        let others = others.unwrap_or_else(|| Some(Vec::new()))?;
        let is_dev = environment == Environment::Dev;
        Some(Origins::new(scheme, host, port, others, is_dev))
    }

    /// `URL_SCHEME` and `URL_PORT`; where they are not set, what follows from the others.
    fn url(&mut self, environment: Environment, port: u16) -> (&'static str, u16) {
        let is_dev = environment == Environment::Dev;
        let scheme = self.read("URL_SCHEME", "http or https", |value| {
            ["http", "https"].into_iter().find(|it| *it == value)
        });
        let has_tls = self.settings.get("TLS_CERT_FILE").is_some();
        let scheme = scheme.unwrap_or(if is_dev && !has_tls { "http" } else { "https" });
        let default = match scheme {
            _ if is_dev => port,
            "https" => 443,
            _ => 80,
        };
        let port = self.read(
            "URL_PORT",
            "a port that clients can reach, 1 to 65535",
            |value| value.parse().ok().filter(|port| *port != 0),
        );
        (scheme, port.unwrap_or(default))
    }

    fn proxies(&mut self) -> Proxies {
        let networks = |value: &str| members(value, LISTED_MAX, Proxies::network);
        let trusted = self.with_all("TRUSTED_PROXIES", networks);
        let header = self.read(
            "PROXY_HEADER",
            "x-forwarded-for or forwarded",
            |value| match value {
                "x-forwarded-for" => Some(ProxyHeader::XForwardedFor),
                "forwarded" => Some(ProxyHeader::Forwarded),
                _ => None,
            },
        );
        Proxies::new(trusted.unwrap_or_default(), header.unwrap_or_default())
    }

    pub(super) fn client_limits(&mut self) -> ClientLimits {
        let default = ClientLimits::default();
        let mut rates = |of: &str, default: Rates| {
            let mut one = |what: &str, most, default| {
                let key = format!("LIMITS_{of}_{}", what.to_uppercase());
                self.number(&key, what, 0..=most).unwrap_or(default)
            };
            Rates {
                joins: one("joins", COUNT_MAX, default.joins),
                messages: one("messages", COUNT_MAX, default.messages),
                bytes: one("bytes", BYTES_MAX, default.bytes),
            }
        };
        ClientLimits {
            connection: rates("CONNECTION", default.connection),
            address: rates("ADDRESS", default.address),
            connections: self
                .number("LIMITS_ADDRESS_CONNECTIONS", "connections", 0..=COUNT_MAX)
                .unwrap_or(default.connections),
        }
    }
}

#[cfg(test)]
mod tests {
    use host_gateway::SigningKey;

    use super::*;
    use crate::config::Config;

    fn settings(rows: &[(&str, &str)]) -> Settings {
        let rows = rows.iter();
        let rows = rows.map(|(key, value)| (key.to_string(), value.to_string(), "x".to_owned()));
        Settings::of_rows(rows)
    }

    fn resolve(rows: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(rows);
        Config::resolve(&settings, &Home::new(folder.path(), &settings))
    }

    fn prod<'a>(secret: &'a str, rows: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let base = [("HOST", "give.example.org"), ("SECRET_KEY_BASE", secret)];
        base.iter().chain(rows).copied().collect()
    }

    #[test]
    fn authentication_is_on_in_production_and_off_in_development() {
        let secret = "s".repeat(64);
        let config = resolve(&prod(&secret, &[])).unwrap();
        let source = config.clients.tokens(config.secret_key_base.as_ref());
        let source = source.unwrap();
        assert_eq!(source.audience, "give.example.org");
        assert_eq!(source.secrets, [secret.as_str()]);
        assert!(!format!("{config:?} {source:?}").contains(&secret));
        let off = resolve(&prod(&secret, &[("AUTH", "off")])).unwrap();
        assert!(off.clients.tokens(off.secret_key_base.as_ref()).is_none());
        let dev = resolve(&[("HOST_ENV", "dev")]).unwrap();
        assert!(!dev.clients.auth);
        let faults = resolve(&[("HOST_ENV", "dev"), ("AUTH", "on")]).unwrap_err();
        assert!(
            faults.to_string().contains("AUTH (x): it is on"),
            "{faults}"
        );
    }

    #[test]
    fn an_old_secret_is_taken_beside_the_new_one() {
        let (new, old) = ("n".repeat(64), "o".repeat(64));
        let rows = [
            ("SECRET_KEY_BASE_OLD", old.as_str()),
            ("TOKEN_AUDIENCE", "a"),
        ];
        let config = resolve(&prod(&new, &rows)).unwrap();
        let source = config.clients.tokens(config.secret_key_base.as_ref());
        let source = source.unwrap();
        assert_eq!(source.secrets, [new, old]);
        assert_eq!(source.audience, "a");
        let _signs = SigningKey::of_secret(&source.secrets[0]);
    }

    #[test]
    fn all_that_is_wrong_is_named() {
        let secret = "s".repeat(64);
        let rows = [
            ("AUTH", "yes"),
            ("SECRET_KEY_BASE_OLD", "short"),
            ("TOKEN_KEYS_FILE", "no/where"),
            ("URL_SCHEME", "ftp"),
            ("URL_PORT", "0"),
            ("ALLOWED_ORIGINS", "example.org"),
            ("TRUSTED_PROXIES", "10.0.0.0/99"),
            ("PROXY_HEADER", "x-real-ip"),
            ("LIMITS_ADDRESS_JOINS", "many"),
            ("LIMITS_CONNECTION_BYTES", "-1"),
        ];
        let ConfigFaults(faults) = resolve(&prod(&secret, &rows)).unwrap_err();
        for (key, _) in rows {
            let named = faults
                .iter()
                .any(|it| it.starts_with(&format!("{key} (x): ")));
            assert!(named, "{key}: {faults:#?}");
        }
        assert_eq!(faults.len(), rows.len(), "{faults:#?}");
        assert!(!faults.concat().contains("short"), "a secret is not told");
    }

    #[test]
    fn a_limit_is_what_is_set() {
        let secret = "s".repeat(64);
        let rows = [
            ("LIMITS_ADDRESS_JOINS", "7"),
            ("LIMITS_CONNECTION_JOINS", "0"),
        ];
        let limits = resolve(&prod(&secret, &rows)).unwrap().clients.limits;
        assert_eq!((limits.address.joins, limits.connection.joins), (7, 0));
        let default = ClientLimits::default();
        assert_eq!(limits.connections, default.connections);
        assert_eq!(limits.address.bytes, default.address.bytes);
    }

    #[test]
    fn what_follows_from_other_settings_is_shown_as_a_start_takes_it() {
        let derived = |rows: &[(&str, &str)], environment| {
            let settings = settings(rows);
            ["HOST", "TOKEN_AUDIENCE", "URL_SCHEME", "URL_PORT"].map(|key| {
                let value = super::derived(key, &settings, environment);
                value.unwrap_or_else(|| "-".to_owned())
            })
        };
        let (dev, prod) = (Environment::Dev, Environment::Prod);
        assert_eq!(derived(&[], dev), ["-", "localhost", "http", "4000"]);
        let port = [("PORT", "81"), ("TLS_CERT_FILE", "cert.pem")];
        assert_eq!(derived(&port, dev), ["-", "localhost", "https", "81"]);
        assert_eq!(derived(&[], prod), ["-", "-", "https", "443"]);
        let named = [("PHX_HOST", "a.org"), ("URL_SCHEME", "http")];
        assert_eq!(derived(&named, prod), ["a.org", "a.org", "http", "80"]);
    }
}
