//! `postgresql://…`, taken apart. It holds a password, so nothing of it is repeated but
//! what [`Address`] shows.

use std::fmt;
use std::path::PathBuf;

use tokio_postgres::config::{ChannelBinding, Host, TargetSessionAttrs};
use tokio_postgres::{Config, config};

/// How an address looks, for whoever gave another.
const SHAPE: &str = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with what is special in a password as %XX";

/// Where a database is, and how its server is reached and known.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) config: Config,
    pub(super) ssl_mode: SslMode,
    pub(super) certificates: Option<PathBuf>,
}

/// `sslmode`, as libpq knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Without TLS.
    Disable,
    /// With TLS where the server has it; who it is stays unproven.
    Prefer,
    /// With TLS; who the server is stays unproven.
    Require,
    /// With TLS; the server's certificate must be issued by a known authority.
    VerifyCa,
    /// As `VerifyCa`, and it must be for the host's name.
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// What the client library makes of it: it knows nothing of verifying.
    fn negotiation(self) -> config::SslMode {
        match self {
            Self::Disable => config::SslMode::Disable,
            Self::Prefer => config::SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => config::SslMode::Require,
        }
    }
}

impl Address {
    /// Reads a URL. Without `sslmode` it has `otherwise`; over a Unix socket there is no
    /// TLS. `certificates` is a file of authorities in PEM; without it the system's count.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that repeat nothing of the URL.
    ///
    /// ```
    /// use host_journal::postgres::{Address, SslMode};
    ///
    /// let url = "postgresql://host:s3cret@db.example.org/giving";
    /// let address = Address::parse(url, SslMode::VerifyFull, None)?;
    /// assert_eq!(address.to_string(), "postgresql://host@db.example.org:5432/giving");
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(
        url: &str,
        otherwise: SslMode,
        certificates: Option<PathBuf>,
    ) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (ssl, others): (Vec<&str>, Vec<&str>) = query
            .split('&')
            .filter(|option| !option.is_empty())
            .partition(|option| option.starts_with("sslmode="));
        let named = match ssl.as_slice() {
            [] => None,
            [one] => Some(SslMode::parse(&one["sslmode=".len()..]).ok_or(
                "its sslmode is none of disable, prefer, require, verify-ca and verify-full",
            )?),
            _ => return Err("it has several sslmodes".to_owned()),
        };
        let rest = match others.as_slice() {
            [] => base.to_owned(),
            others => format!("{base}?{}", others.join("&")),
        };
        let mut config: Config = rest
            .parse()
            .map_err(|_| format!("it cannot be read; its shape is {SHAPE}"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(format!("it names no host; its shape is {SHAPE}"));
        }
        let is_local = config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)))
            && config.get_hostaddrs().is_empty();
        let ssl_mode = match named.unwrap_or(otherwise) {
            _ if is_local => SslMode::Disable,
            mode => mode,
        };
        config.ssl_mode(ssl_mode.negotiation());
        // A standby answers, and holds less than its primary.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if ssl_mode == SslMode::Disable {
            config.channel_binding(ChannelBinding::Disable);
        }
        Ok(Self {
            config,
            ssl_mode,
            certificates,
        })
    }

    /// How the connection is secured.
    #[must_use]
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        f.write_str("postgresql://")?;
        if let Some(user) = config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = config.get_ports();
        let named = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let mut hosts: Vec<String> = named.collect();
        if hosts.is_empty() {
            let addresses = config.get_hostaddrs().iter();
            hosts = addresses.map(ToString::to_string).collect();
        }
        for (index, host) in hosts.iter().enumerate() {
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{host}:{port}")?;
        }
        write!(f, "/{}", config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self}, {:?})", self.ssl_mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(url, SslMode::VerifyFull, None)
    }

    #[test]
    fn what_an_address_says_of_security_is_kept() {
        for (url, mode) in [
            ("postgresql://db/x", SslMode::VerifyFull),
            ("postgres://db/x?sslmode=disable", SslMode::Disable),
            (
                "postgres://db/x?connect_timeout=3&sslmode=require",
                SslMode::Require,
            ),
            ("postgres://db/x?sslmode=verify-ca", SslMode::VerifyCa),
            ("postgresql:///x?host=/run/postgresql", SslMode::Disable),
            ("postgresql://%2Frun%2Fpostgresql/x", SslMode::Disable),
        ] {
            assert_eq!(parse(url).unwrap().ssl_mode(), mode, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for url in [
            "postgresql://ali:hunter2@db/x?sslmode=hunter2",
            "postgresql://ali:hunter2@db/x?hunter2",
            "postgresql://ali:hunter2@db:hunter2/x",
            "postgresql://ali:hunter2@db/x?hunter2=hunter2",
            "postgresql://ali:hunter2@db/x?sslmode=require&sslmode=hunter2",
            "postgresql:hunter2",
        ] {
            let problem = parse(url).unwrap_err();
            assert!(!problem.contains("hunter2"), "{url}: {problem}");
        }
        let address = parse("postgresql://ali:hunter2@db:5433,other/x").unwrap();
        let shown = format!("{address} {address:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("ali@db:5433"), "{shown}");
    }
}
