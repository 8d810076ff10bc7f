//! The configuration of one start, checked as a whole.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use host_gateway::{CorsRules, TlsFiles, is_host};
use host_journal::postgres::{self, Address, POOL_SIZE_MIN, SslMode, Timing};
use host_journal::store::Opened;
use host_journal::{OpenError, open_sqlite};
use host_upgrade::TrustedKeys;
use tracing_subscriber::EnvFilter;

use self::draft::Reader;
use crate::home::Home;
use crate::settings::Settings;

pub(crate) mod clients;
mod command;
mod cors;
mod defaults;
mod draft;
mod list;
mod listening;
mod log;
pub(crate) mod plugins;
pub(crate) mod resolved;
mod runtime;
pub(crate) mod tuning;

pub(crate) use clients::Clients;
pub(crate) use command::run;
pub(crate) use draft::{ConfigFaults, Draft};
pub(crate) use log::{LogBounds, LogFormat};
pub(crate) use runtime::Runtime;

/// Characters of `SECRET_KEY_BASE` at least.
pub(crate) const SECRET_CHARS_MIN: usize = 64;

/// Bytes of a Unix socket's path at most: `sun_path` of Linux, without its end.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Above it PostgreSQL itself needs a pooler in front, and the host nothing more.
const POOL_SIZE_MAX: usize = 1_000;

/// What the host runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Whether it must be safe or handy.
    pub(crate) environment: Environment,
    /// Whether a start as root is allowed in production.
    pub(crate) allow_root: bool,
    /// Whether a debug build is.
    pub(crate) allow_debug: bool,
    /// Where the journal is.
    pub(crate) store: Store,
    /// Port of the clients' listener; 0 is any free one.
    pub(crate) port: u16,
    /// Addresses of it and their ports; all of both families on `port` where there is none.
    pub(crate) listen: Vec<SocketAddr>,
    /// Which pages of other origins may read its answers.
    pub(crate) cors: CorsRules,
    /// Certificate and key, where it speaks TLS.
    pub(crate) tls: Option<TlsFiles>,
    /// Port of the operators' listener, on loopback; 0 is any free one.
    pub(crate) admin_port: u16,
    /// Days that the journal is kept at least; none: for ever; 0: for no time.
    pub(crate) retention_days: Option<u32>,
    /// The host's public name.
    pub(crate) host: String,
    /// What tokens are signed with; always there in production.
    pub(crate) secret_key_base: Option<Secret>,
    /// Whom the host lets in, and what they may do.
    pub(crate) clients: Clients,
    /// Certificate authorities for outgoing TLS; the system's if absent.
    pub(crate) ssl_cert_file: Option<PathBuf>,
    /// Who may vouch for a release; nobody has to where there is no key.
    pub(crate) trusted_keys: TrustedKeys,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// How large the log of a host in the background may grow.
    pub(crate) log_bounds: LogBounds,
    /// Which log lines there are, in the grammar of `RUST_LOG`.
    pub(crate) log_filter: String,
    /// What the host takes of its machine.
    pub(crate) runtime: Runtime,
    /// What was set and is read by nobody, a sentence each.
    pub(crate) warnings: Vec<String>,
}

/// `HOST_ENV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// In production.
    Prod,
    /// On a developer's machine.
    Dev,
}

/// `DATABASE_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// A SQLite database.
    Sqlite {
        /// Its file.
        path: PathBuf,
        /// Nobody has asked for it: it is the embedded default.
        default: bool,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Where it is; it may hold a password, and does not show it.
        address: Box<Address>,
        /// Sessions at most.
        pool_size: usize,
    },
}

impl Store {
    /// Opens it, and takes ownership.
    pub(crate) fn open(&self, home: &Home, take_over: bool) -> Result<Opened, OpenError> {
        match self {
            Self::Sqlite { path, .. } => open_sqlite(path, Some(&home.witness())),
            Self::Postgres { address, pool_size } => postgres::open(&postgres::Options {
                address: (**address).clone(),
                pool_size: *pool_size,
                witness: home.witness(),
                take_over,
                timing: Timing::default(),
            }),
        }
    }

    /// Where it is, without secrets.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Sqlite { path, .. } => path.display().to_string(),
            Self::Postgres { address, .. } => address.to_string(),
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for the one who needs it.
    #[must_use]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Config {
    /// The configuration that `settings` make for `home`.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once.
    pub(crate) fn resolve(settings: &Settings, home: &Home) -> Result<Self, ConfigFaults> {
        Self::draft(settings, home).finish()
    }

    /// The same as far as it can be read, with all that is wrong.
    pub(crate) fn draft<'a>(settings: &'a Settings, home: &Home) -> Draft<'a> {
        let mut reader = Reader::new(settings);
        let environment = reader.read("HOST_ENV", "prod or dev", environment);
        // Where it cannot be told, what only production needs is not said to be missing.
        let environment = environment.unwrap_or(match reader.knows(&["HOST_ENV"]) {
            true => Environment::Prod,
            false => Environment::Dev,
        });
        let prod = environment == Environment::Prod;
        let default = Store::Sqlite {
            path: home.data_dir().join("host.db"),
            default: true,
        };
        let pool_size = reader.pool_size();
        let ssl_cert_file = reader.with("SSL_CERT_FILE", |path| {
            readable(path, home)
                .map_err(|why| format!("{why}; it is to be a file of certificates in PEM"))
        });
        let missing = match environment {
            Environment::Prod => SslMode::VerifyFull,
            Environment::Dev => SslMode::Prefer,
        };
        let postgres = |url: &str| {
            Ok(Store::Postgres {
                address: Box::new(Address::parse(url, missing, ssl_cert_file.clone())?),
                pool_size,
            })
        };
        let port = reader.port("PORT", defaults::PORT);
        let host = reader.host(prod);
        let config = Self {
            environment,
            allow_root: reader.yes("HOST_ALLOW_ROOT"),
            allow_debug: reader.yes("HOST_ALLOW_DEBUG"),
            store: reader
                .with("DATABASE_URL", |url| store(url, home, postgres))
                .unwrap_or(default),
            port,
            listen: reader.addresses(port),
            cors: reader.cors(),
            tls: reader.tls(home),
            admin_port: reader.port("ADMIN_PORT", defaults::ADMIN_PORT),
            retention_days: reader.retention_days(environment),
            clients: reader.clients(environment, home, &host, port),
            host,
            secret_key_base: reader.secret(prod),
            ssl_cert_file,
            log_format: reader
                .read("LOG_FORMAT", "pretty or json", log::log_format)
                .unwrap_or(defaults::log_format(environment)),
            trusted_keys: reader
                .with("TRUSTED_KEYS", |path| {
                    TrustedKeys::read(&home.root.join(path)).map_err(|e| e.to_string())
                })
                .unwrap_or_default(),
            log_bounds: reader.log_bounds(),
            log_filter: reader.log_filter(),
            runtime: reader.runtime(),
            warnings: settings.warnings(),
        };
        reader.sockets(home);
        reader.faults.extend(plugins::faults(settings));
        let is_known = reader.knows(&["LISTEN", "PORT", "ADMIN_PORT"]);
        let is_admin = |port: u16| is_known && port != 0 && port == config.admin_port;
        if config.listen.is_empty() && is_admin(config.port) {
            reader.faults.push(format!(
                "PORT ({}) and ADMIN_PORT ({}) are both {port}: give them different ports",
                reader.place("PORT"),
                reader.place("ADMIN_PORT")
            ));
        }
        if let Some(both) = config.listen.iter().find(|it| is_admin(it.port())) {
            reader.faults.push(format!(
                "LISTEN ({}) has {both}, and ADMIN_PORT ({}) is the same: give them different ports",
                reader.place("LISTEN"),
                reader.place("ADMIN_PORT")
            ));
        }
        Draft { config, reader }
    }
}

impl Reader<'_> {
    fn read<T>(&mut self, key: &str, right: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        self.with(key, |value| {
            parse(value).ok_or_else(|| format!("{value:?} is not {right}"))
        })
    }

    /// Whether it is `yes`; it is not where it is not set.
    fn yes(&mut self, key: &str) -> bool {
        self.read(key, "yes or no", |value| match value {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
    }

    fn port(&mut self, key: &str, default: u16) -> u16 {
        self.read(key, "a port, 0 to 65535", |v| u16::from_str(v).ok())
            .unwrap_or(default)
    }

    /// A whole number of `what`, in bounds.
    fn number<T>(&mut self, key: &str, what: &str, allowed: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        self.with(key, |value| {
            let number = T::from_str(value).ok();
            number
                .filter(|number| allowed.contains(number))
                .ok_or_else(|| {
                    let (least, most) = (allowed.start(), allowed.end());
                    format!("{value:?} is no number of {what}, {least} to {most}")
                })
        })
    }

    /// 0 is for who wants to see what goes, on a machine where nothing is lost by it.
    fn retention_days(&mut self, environment: Environment) -> Option<u32> {
        match environment {
            Environment::Prod => self.read("RETENTION", "a number of days, 1 or more", days),
            Environment::Dev => self.read("RETENTION", "a number of days", |v| v.parse().ok()),
        }
    }

    fn log_filter(&mut self) -> String {
        let filter = self.with("RUST_LOG", |value| {
            let filter = EnvFilter::builder().parse(value);
            filter
                .map(|_| value.to_owned())
                .map_err(|e| format!("{value:?} is no filter of log lines ({e})"))
        });
        filter.unwrap_or_else(|| defaults::RUST_LOG.to_owned())
    }

    fn pool_size(&mut self) -> usize {
        let allowed = POOL_SIZE_MIN..=POOL_SIZE_MAX;
        self.number("POOL_SIZE", "connections", allowed)
            .unwrap_or(defaults::POOL_SIZE)
    }

    fn host(&mut self, prod: bool) -> String {
        let key = match self.settings.get("HOST") {
            Some(_) => "HOST",
            None => "PHX_HOST",
        };
        let host = self.with(key, |value| {
            let is_address = value.parse::<IpAddr>().is_ok();
            match is_address || is_host(value) {
                true => Ok(value.to_owned()),
                false => Err(format!(
                    "{value:?} is no name of a host, such as give.example.org, and no address: \
                     its parts are of letters, digits, '-' and '_', and a '-' stands within one"
                )),
            }
        });
        if prod && ["HOST", "PHX_HOST"].iter().all(|key| self.is_missing(key)) {
            self.missing(
                "HOST",
                "in production the host needs its public name, such as give.example.org",
            );
        }
        host.unwrap_or_else(|| defaults::HOST.to_owned())
    }

    fn secret(&mut self, prod: bool) -> Option<Secret> {
        let secret = self.with("SECRET_KEY_BASE", secret);
        if prod && self.is_missing("SECRET_KEY_BASE") {
            let wanted = format!(
                "in production it is needed, at least {SECRET_CHARS_MIN} characters; `host gen secret` makes one"
            );
            self.missing("SECRET_KEY_BASE", &wanted);
        }
        secret
    }

    fn sockets(&mut self, home: &Home) {
        let set = match self.settings.get("HOST_DATA") {
            Some(setting) => format!("HOST_DATA ({}): ", setting.from),
            None => String::new(),
        };
        for socket in [home.socket(), home.keeper_socket()] {
            let bytes = socket.as_os_str().len();
            if bytes > SOCKET_PATH_BYTES_MAX {
                self.faults.push(format!(
                    "{set}{} has {bytes} bytes, and a socket's path at most {SOCKET_PATH_BYTES_MAX}: set HOST_DATA to a shorter folder",
                    socket.display()
                ));
            }
        }
    }
}

fn secret(value: &str) -> Result<Secret, String> {
    match value.chars().count() {
        n if n < SECRET_CHARS_MIN => Err(format!(
            "it has {n} characters and needs at least {SECRET_CHARS_MIN}: `host gen secret` makes one"
        )),
        _ => Ok(Secret(value.to_owned())),
    }
}

fn environment(text: &str) -> Option<Environment> {
    match text {
        "prod" => Some(Environment::Prod),
        "dev" => Some(Environment::Dev),
        _ => None,
    }
}

/// A file that can be read; its path is the operator's, and so begins at the home's root.
fn readable(path: &str, home: &Home) -> Result<PathBuf, String> {
    let path = home.root.join(path);
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(format!("{} is no file", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

fn days(text: &str) -> Option<u32> {
    text.parse().ok().filter(|days| *days > 0)
}

/// The address may hold a password, so it is never repeated.
/// The file of the embedded store, where settings name one.
pub(crate) fn store_file(settings: &Settings, home: &Home) -> Option<PathBuf> {
    let url = settings.get("DATABASE_URL")?.value;
    let elsewhere = |_: &str| Err(String::new());
    match store(url, home, elsewhere) {
        Ok(Store::Sqlite { path, .. }) => Some(path),
        Ok(Store::Postgres { .. }) | Err(_) => None,
    }
}

fn store(
    url: &str,
    home: &Home,
    postgres: impl FnOnce(&str) -> Result<Store, String>,
) -> Result<Store, String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("it is no address such as sqlite:data/host.db".to_owned());
    };
    match scheme {
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains(['?', '#']) || path == ":memory:" {
                return Err("behind sqlite: stands the path of a file".to_owned());
            }
            let path = home.data.join(path);
            match path.is_dir() {
                true => Err(format!("{} is a folder, and no file", path.display())),
                false => Ok(Store::Sqlite {
                    path,
                    default: false,
                }),
            }
        }
        "postgresql" | "postgres" => postgres(url),
        _ => Err("it is no store; use sqlite:data/host.db or postgresql://…".to_owned()),
    }
}

#[cfg(test)]
mod tests;
