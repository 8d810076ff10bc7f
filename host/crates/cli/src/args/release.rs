//! Commands that make what an operator gets: releases, and keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::duration::whole_seconds;

/// `host gen ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Gen {
    /// Print a new value for SECRET_KEY_BASE.
    #[command(after_help = "Example:\n  echo SECRET_KEY_BASE=$(host gen secret) >> etc/env")]
    Secret,
    /// Print a token for a client: who bears it, and as what.
    #[command(
        after_help = "Example:\n  host gen token --sub ali --role treasurer --ttl 8h\n  host gen token --sub ali --aud give.example.org --key token.pem --kid 2026\n\nIt is a JWT, signed by a key derived of SECRET_KEY_BASE, or by the private key in a file;\nTOKEN_KEYS_FILE then has the public one."
    )]
    Token(Token),
    /// Make a pair of keys to sign releases with: FILE, which is secret, and FILE.pub.
    #[command(
        after_help = "Example:\n  host gen keys release.key\n\nFILE.pub goes to every home, and TRUSTED_KEYS names it there."
    )]
    Keys {
        /// The file of the secret key; must not exist.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// `host gen token`
#[derive(Debug, Clone, Args)]
pub struct Token {
    /// Who bears it: the principal that records name.
    #[arg(long, value_name = "NAME")]
    pub sub: String,
    /// A role that plugins know; may be given more than once.
    #[arg(long = "role", value_name = "ROLE")]
    pub roles: Vec<String>,
    /// How long it is valid: 30s, 8h, 30d at most.
    #[arg(long, default_value = "1h", value_name = "D", value_parser = whole_seconds)]
    pub ttl: u64,
    /// For which host it is [default: TOKEN_AUDIENCE, else HOST].
    #[arg(long, value_name = "NAME")]
    pub aud: Option<String>,
    /// Sign it with this private key, in PEM (PKCS #8): Ed25519, P-256 or RSA.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// What the key is called among those of TOKEN_KEYS_FILE.
    #[arg(long, value_name = "NAME", requires = "key")]
    pub kid: Option<String>,
}

/// `host release ...`
#[derive(Debug, Clone, Subcommand)]
pub enum Release {
    /// Build a release and pack it as NAME-VERSION.tar.zst.
    #[command(
        after_help = "Example:\n  host release build\n  host release build --manifest releases/0.2.0.toml --out dist --sign release.key\n\nPaths in the release file are relative to the workspace. The host in it is the\nworkspace's own, where it has one, and this program otherwise."
    )]
    Build(Build),
    /// Make a container image of an unpacked release, NAME-VERSION.oci.tar, without an engine.
    #[command(
        after_help = "Example:\n  host release image releases/0.1.0\n  podman load -i giving-0.1.0.oci.tar\n\nThe shared libraries that it needs are taken from this machine."
    )]
    Image {
        /// The release's folder, with its manifest.json.
        dir: PathBuf,
        /// The folder that the image goes into.
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
    },
    /// Put built libraries together as an unpacked release.
    #[command(
        after_help = "Example:\n  host release assemble --manifest host/releases/0.1.0.toml --target-dir target/release --out home/releases/0.1.0"
    )]
    Assemble {
        /// The release file.
        #[arg(long, value_name = "FILE")]
        manifest: PathBuf,
        /// Where cargo has put the built libraries and the host.
        #[arg(long, value_name = "DIR")]
        target_dir: PathBuf,
        /// The release's folder; must not exist.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Leave in what only debuggers and profilers read, which a package has not.
        #[arg(long)]
        no_strip: bool,
    },
}

/// `host release build`
#[derive(Debug, Clone, Args)]
pub struct Build {
    /// The release file.
    #[arg(long, default_value = "release.toml", value_name = "FILE")]
    pub manifest: PathBuf,
    /// The workspace that is built.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub workspace: PathBuf,
    /// Cargo's profile.
    #[arg(long, default_value = "release", value_name = "NAME")]
    pub profile: String,
    /// Where cargo puts what it builds [default: as cargo says].
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,
    /// The folder that the package goes into.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub out: PathBuf,
    /// Make a container image of it as well, NAME-VERSION.oci.tar, without an engine.
    #[arg(long)]
    pub oci: bool,
    /// Sign it with this secret key, of `host gen keys` or of minisign.
    #[arg(long, value_name = "KEYFILE")]
    pub sign: Option<PathBuf>,
    /// Leave debug information in.
    #[arg(long)]
    pub no_strip: bool,
}
