//! What must not go into a package, which many may read: secrets, and addresses of stores.

use std::path::Path;

use anyhow::{Result, bail};

/// Parts of names of settings whose values are secret, in upper case.
const SECRET: [&str; 5] = ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "CREDENTIAL"];

/// Refuses the text of the file `path` where a line sets a secret or DATABASE_URL, or shows
/// a password or a private key. What was found is named, never shown.
///
/// # Errors
///
/// The line, and what stands in it.
pub(crate) fn refuse(path: &Path, text: &str) -> Result<()> {
    for (number, line) in text.lines().enumerate() {
        if let Some(what) = found(line) {
            bail!(
                "{} line {}: {what} does not belong into a package, which many may read; set it in etc/env of the home, or in the environment",
                path.display(),
                number + 1
            );
        }
    }
    Ok(())
}

/// What a line gives away.
fn found(line: &str) -> Option<String> {
    if line.contains("PRIVATE KEY-----") || line.contains("minisign encrypted secret key") {
        return Some("a private key".to_owned());
    }
    if has_password(line) {
        return Some("an address with a password".to_owned());
    }
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let name = name.trim().trim_start_matches("export ").trim();
    let name = name.trim_matches(['"', '\'']).to_ascii_uppercase();
    let value = value.trim().trim_matches(['"', '\'']);
    let is_secret = name.ends_with("DATABASE_URL")
        || name.ends_with("_KEY")
        || SECRET.iter().any(|part| name.contains(part));
    (is_secret && !value.is_empty()).then_some(name)
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
        for (line, named) in [
            ("SECRET_KEY_BASE=abcdefgh", "SECRET_KEY_BASE"),
            ("database_url = \"sqlite:data/x.db\"", "DATABASE_URL"),
            ("  export SMTP_PASSWORD='hunter2'", "SMTP_PASSWORD"),
            ("api_token = \"hunter2\"", "API_TOKEN"),
            ("STRIPE_KEY=hunter2", "STRIPE_KEY"),
            (
                "# postgresql://u:hunter2@db/x",
                "an address with a password",
            ),
            ("-----BEGIN PRIVATE KEY-----", "a private key"),
        ] {
            let error = refuse(Path::new("env"), &format!("PORT=1\n{line}\n"));
            let error = error.unwrap_err().to_string();
            assert!(error.contains("env line 2"), "{error}");
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let harmless = "PORT=4000\n# SECRET_KEY_BASE=...\nSECRET_KEY_BASE=\nTLS_KEY_FILE=/k\n\
            TRUSTED_KEYS=etc/keys\nURL=https://example.org:443/a@b\n";
        refuse(Path::new("env"), harmless).unwrap();
    }
}
