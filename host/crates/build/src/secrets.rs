//! What must not go into a package, which many may read: secrets, and addresses of stores.

use std::path::Path;

use anyhow::{Result, bail};

/// Parts of names of settings whose values are secret, in upper case.
const SECRET: [&str; 5] = ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "CREDENTIAL"];

/// What a private key shows of itself: PEM of all kinds, OpenPGP, and the keys of minisign,
/// with and without a password, in base64.
const PRIVATE_KEY: [&str; 5] = [
    "PRIVATE KEY-----",
    "PRIVATE KEY BLOCK-----",
    "encrypted secret key",
    "RWRTY0Iy",
    "RWQAAEIy",
];

/// So many letters and digits in one piece behind a name that is commented out are no
/// example.
const REAL_SECRET_CHARS: usize = 32;

/// Refuses the text of the file `path` where a line sets a secret or DATABASE_URL, or shows
/// a password or a private key. What was found is named, never shown.
///
/// # Errors
///
/// The line, and what stands in it.
pub(crate) fn refuse(path: &Path, text: &str) -> Result<()> {
    // `url` of the table `[database]` is DATABASE_URL.
    let mut table = String::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(what) = found(line, &table) {
            bail!(
                "{} line {}: {what} does not belong into a package, which many may read; set it in etc/env of the home, or in the environment",
                path.display(),
                number + 1
            );
        }
        if let Some(header) = line.trim().strip_prefix('[') {
            let name = header.trim_start_matches('[').split(']').next();
            table = name.unwrap_or_default().to_owned();
        }
    }
    Ok(())
}

/// What a line of a table gives away.
fn found(line: &str, table: &str) -> Option<String> {
    if PRIVATE_KEY.iter().any(|it| line.contains(it)) {
        return Some("a private key".to_owned());
    }
    if has_password(line) {
        return Some("an address with a password".to_owned());
    }
    let line = line.trim();
    if let Some(comment) = line.strip_prefix(['#', ';']) {
        let mut pairs = pairs(comment).into_iter();
        let found = pairs.find(|it| is_secret(&it.name) && it.is_real());
        return found.map(|it| it.name);
    }
    let mut within = table.to_owned();
    for pair in pairs(line) {
        let name = normal(&format!("{within}.{}", pair.name));
        if is_secret(&name) && !pair.is_empty() {
            return Some(name);
        }
        if pair.value.starts_with('{') {
            within = format!("{within}.{}", pair.name);
        }
    }
    None
}

/// A name, and all that stands behind it.
struct Pair<'a> {
    name: String,
    value: &'a str,
}

impl Pair<'_> {
    /// Whether the name gets nothing. A quote that only opens has its text further on.
    fn is_empty(&self) -> bool {
        let empty = ["\"\"", "''"]
            .iter()
            .find_map(|it| self.value.strip_prefix(it));
        match empty {
            Some(behind) => !behind.starts_with(['"', '\'']),
            None => self.value.is_empty() || self.value.starts_with(['#', ',', '&']),
        }
    }

    /// Whether it looks like a secret, and not like an example of one.
    fn is_real(&self) -> bool {
        let value = self.value.trim_start_matches(['"', '\'']);
        let of_one = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
        let piece = value.split(|c| !of_one(c)).next().unwrap_or_default();
        piece.len() >= REAL_SECRET_CHARS && piece.contains(|c: char| c.is_ascii_digit())
    }
}

/// Each `name = value` of a line, wherever it stands: in an inline table, in a connection
/// string, in the query of an address. A colon counts as in YAML and JSON: behind the first
/// name, or behind one in quotes.
fn pairs(line: &str) -> Vec<Pair<'_>> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for (at, sign) in line.match_indices(['=', ':']) {
        let before = line[..at].trim_end();
        let unquoted = before.strip_suffix(['"', '\'']).unwrap_or(before);
        let start = unquoted.rfind(|c| !is_of_name(c)).map_or(0, |it| it + 1);
        let (lead, name) = unquoted.split_at(start);
        let is_quoted = unquoted.len() < before.len() && lead.ends_with(['"', '\'']);
        let begins = lead.trim_start_matches("export").trim().is_empty();
        let counts = match sign {
            "=" => is_quoted || begins || lead.ends_with([' ', '\t', '{', ',', '?', '&', ';', '"']),
            _ => is_quoted || (begins && line[at + 1..].starts_with([' ', '\t'])),
        };
        if counts && !name.is_empty() {
            pairs.push(Pair {
                name: normal(name),
                value: line[at + 1..].trim(),
            });
        }
    }
    pairs
}

/// As an environment spells it.
fn normal(name: &str) -> String {
    let name = name.trim_matches(['.', ' ', '"', '\'']);
    name.replace(['.', '-'], "_").to_ascii_uppercase()
}

fn is_secret(name: &str) -> bool {
    name.ends_with("DATABASE_URL")
        || name.ends_with("_KEY")
        || SECRET.iter().any(|part| name.contains(part))
}

/// Whether a `scheme://user:password@host` stands in it.
fn has_password(line: &str) -> bool {
    line.split("://").skip(1).any(|behind| {
        let authority = behind.split(['/', '?', '#', ' ', '"', '\'']).next();
        let user = authority.and_then(|it| it.rsplit_once('@'));
        user.is_some_and(|(user, _)| user.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_named_and_never_shown() {
        let long = "# SECRET_KEY_BASE=hunter2hunter2hunter2hunter2hunter2";
        for (line, named) in [
            ("SECRET_KEY_BASE=abcdefgh", "SECRET_KEY_BASE"),
            ("database_url = \"sqlite:data/x.db\"", "DATABASE_URL"),
            ("export DATABASE_URL=sqlite:x", "DATABASE_URL"),
            ("export\t\"DATABASE_URL\"=sqlite:x", "DATABASE_URL"),
            ("{\"database_url\": \"sqlite:x\"}", "DATABASE_URL"),
            ("{\"port\": 1, \"secret\": \"hunter2\"}", "SECRET"),
            ("database_url: sqlite:x", "DATABASE_URL"),
            ("database = { url = \"sqlite:x\" }", "DATABASE_URL"),
            ("database.url = 'sqlite:x'", "DATABASE_URL"),
            ("  export SMTP_PASSWORD='hunter2'", "SMTP_PASSWORD"),
            ("api_token = \"hunter2\"", "API_TOKEN"),
            ("STRIPE_KEY=hunter2", "STRIPE_KEY"),
            ("secret_key_base = \"\"\"", "SECRET_KEY_BASE"),
            ("SECRET_KEY_BASE='", "SECRET_KEY_BASE"),
            ("DSN=\"host=db user=u password=hunter2\"", "PASSWORD"),
            ("URL=postgresql://db/x?user=u&password=hunter2", "PASSWORD"),
            (long, "SECRET_KEY_BASE"),
            (
                "# postgresql://u:hunter2@db/x",
                "an address with a password",
            ),
            (
                "cache = \"redis://:hunter2@c\"",
                "an address with a password",
            ),
            ("-----BEGIN PRIVATE KEY-----", "a private key"),
            (
                "pem = \"-----BEGIN RSA PRIVATE KEY-----\\n\"",
                "a private key",
            ),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "a private key"),
            (
                "untrusted comment: minisign encrypted secret key",
                "a private key",
            ),
            ("RWRTY0IyDw5dpN3zvpyVvy3J", "a private key"),
        ] {
            let error = refuse(Path::new("env"), &format!("PORT=1\n{line}\n"));
            let error = error.expect_err(line).to_string();
            assert!(error.contains("env line 2"), "{error}");
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_may_begin_in_the_line_of_its_table() {
        for (text, named) in [
            ("[database]\nurl = \"sqlite:x\"\n", "DATABASE_URL"),
            ("[secret]\nkey_base = \"hunter2\"\n", "SECRET_KEY_BASE"),
            (
                "[[smtp.login]]\npassword = \"hunter2\"\n",
                "SMTP_LOGIN_PASSWORD",
            ),
        ] {
            let error = refuse(Path::new("host.toml"), text).expect_err(text);
            let error = error.to_string();
            assert!(error.contains("line 2") && error.contains(named), "{error}");
        }
        let other = "[database]\npool = 1\n[site]\nurl = \"https://example.org\"\n";
        refuse(Path::new("host.toml"), other).unwrap();
    }

    #[test]
    fn what_only_sounds_like_a_secret_is_taken() {
        let harmless = "PORT=4000\n# SECRET_KEY_BASE=...\nSECRET_KEY_BASE=\nTLS_KEY_FILE=/k\n\
            secret_key_base = \"\" # at least 64 characters\n\
            # DATABASE_URL=sqlite:data/host.db\n# The token: it is in etc/env.\n\
            RUST_LOG=info,host::token=debug\nPROBLEM=\"token: missing\"\n\
            TRUSTED_KEYS=etc/keys\nURL=https://example.org:443/a@b\n\
            up = [{ run = \"before\" }, { update = \"state\", timeout_ms = 5000 }]\n";
        refuse(Path::new("env"), harmless).unwrap();
    }
}
