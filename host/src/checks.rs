//! The common mistakes of operating a host, looked for before it starts.
//!
//! What is found is read by [`facts`]; what it means is decided here, by a pure function.

use std::net::SocketAddr;
use std::path::PathBuf;

use host_cli::Failure;

use crate::config::{Config, ConfigFaults, Environment};
use crate::launcher::Found;

mod facts;

/// Connections below which a limit is taken for one that nobody has thought of.
const CONNECTIONS_FEW: usize = 10_000;

/// Of a control group's memory: beyond it the kernel ends the process before actors have
/// made room.
const MEMORY_PERCENT_MAX: u64 = 90;

/// What the host finds around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    environment: Environment,
    /// The process's user may do everything.
    is_root: bool,
    allow_root: bool,
    /// This program was built for debugging: slow, and with checks that end it.
    is_debug: bool,
    allow_debug: bool,
    /// `memory.max` of the control group.
    group_memory_bytes: Option<u64>,
    /// Whether the control group limits processor time.
    has_cpu_limit: bool,
    /// Resident memory beyond which actors are put to sleep.
    memory_bytes: u64,
    /// Files that the process may open.
    files: u64,
    /// Connections that these leave room for.
    connections: usize,
    pool: Pool,
    /// Addresses to listen on that this machine has not, and where they are set.
    addresses_missing: Vec<SocketAddr>,
    listen_from: String,
    /// What there is to know of the certificate for clients.
    certificate: Vec<String>,
    /// Whether everyone on the machine may read its key.
    key_is_open: bool,
    /// Where the host would have to write and cannot, a sentence each.
    unwritable: Vec<String>,
    /// Where copies of plugins go.
    images: PathBuf,
    /// Whether nothing there may be executed.
    images_noexec: bool,
}

/// What is known of the database's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pool {
    /// There is no server.
    None,
    /// The host wants `size` of them, and the server has `max`.
    Asked { size: usize, max: usize },
    /// The server did not say.
    Unknown(String),
}

/// What the facts mean.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Why the host must not start, a sentence each.
    pub(crate) refusals: Vec<String>,
    /// What an operator should know, a sentence each.
    pub(crate) warnings: Vec<String>,
}

/// Decides what the facts mean.
fn judge(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    let prod = facts.environment == Environment::Prod;
    let mut refuse = |is: bool, why: String| findings.refusals.extend(is.then_some(why));
    refuse(
        prod && facts.is_root && !facts.allow_root,
        "it would run as root, and a fault in it would have the whole machine: run it as a user of its own (`User=` in a unit of systemd), or allow it by --allow-root or HOST_ALLOW_ROOT=yes".to_owned(),
    );
    refuse(
        prod && facts.is_debug && !facts.allow_debug,
        "it is a debug build, many times slower: install a release that was built with --release, or allow it by --allow-debug or HOST_ALLOW_DEBUG=yes".to_owned(),
    );
    refuse(
        facts.images_noexec,
        format!(
            "{} is on a file system that is mounted noexec, and plugins are opened from there: set HOST_DATA to another one, or mount it with exec",
            facts.images.display()
        ),
    );
    for why in &facts.unwritable {
        refuse(true, why.clone());
    }
    for address in &facts.addresses_missing {
        refuse(
            true,
            format!(
                "LISTEN ({}) has {address}, and this machine has no such address: correct LISTEN, or leave it out for all addresses",
                facts.listen_from
            ),
        );
    }
    let mut warn = |is: bool, why: String| findings.warnings.extend(is.then_some(why));
    match &facts.pool {
        Pool::Asked { size, max } => warn(
            size > max,
            format!(
                "POOL_SIZE is {size}, and the database's server gives {max} connections to all of its clients: lower POOL_SIZE, or raise max_connections there"
            ),
        ),
        Pool::Unknown(why) => warn(
            true,
            format!(
                "whether POOL_SIZE is within the database's max_connections is not known: {why}"
            ),
        ),
        Pool::None => {}
    }
    if let Some(group) = facts.group_memory_bytes {
        warn(
            facts.memory_bytes > group / 100 * MEMORY_PERCENT_MAX,
            format!(
                "RUNTIME_LIMITS_MEMORY_BYTES is {}, and the control group has {group}: the kernel would end the host before actors make room; stay below {MEMORY_PERCENT_MAX} % of it, or leave it out for {} %",
                facts.memory_bytes,
                crate::heap::SHARE_PERCENT
            ),
        );
    }
    for warning in &facts.certificate {
        warn(true, format!("TLS_CERT_FILE: {warning}"));
    }
    warn(
        facts.key_is_open,
        "TLS_KEY_FILE may be read by everyone on this machine: `chmod o= FILE`".to_owned(),
    );
    warn(
        prod && facts.group_memory_bytes.is_none(),
        "the control group has no limit of memory: what else runs on this machine suffers from a host that grows; set MemoryMax= in the unit, or the container's limit".to_owned(),
    );
    warn(
        prod && !facts.has_cpu_limit,
        "the control group has no limit of processor time: set CPUQuota= in the unit, or the container's limit".to_owned(),
    );
    warn(
        prod && facts.connections < CONNECTIONS_FEW,
        format!(
            "{} files may be open, which is room for {} connections: raise LimitNOFILE= in the unit, or `ulimit -n`",
            facts.files, facts.connections
        ),
    );
    findings
}

/// The configuration of a start, with what its surroundings are to be warned of.
///
/// # Errors
///
/// All that is wrong with the configuration and all that must not be around it, with the
/// warnings, in one report.
pub(crate) fn checked(found: &Found) -> Result<Config, Failure> {
    let draft = found.draft();
    let Findings {
        mut refusals,
        warnings,
    } = judge(&Facts::read(found, &draft));
    let nothing_boots = found.booting().err();
    refusals.extend(nothing_boots.map(|failure| failure.problem().message.clone()));
    let (faults, mut config) = draft.into_parts();
    config.warnings.extend(warnings);
    report(faults, refusals, &config.warnings)?;
    Ok(config)
}

/// Everything that keeps a host from being started, and beside it what an operator should
/// know, whom nothing is to surprise the next time.
fn report(faults: Vec<String>, refusals: Vec<String>, warnings: &[String]) -> Result<(), Failure> {
    let (reason, attempted) = match (faults.is_empty(), refusals.is_empty()) {
        (true, true) => return Ok(()),
        (true, false) => ("unfit", "start the host"),
        (false, _) => ("bad_config", "read the configuration"),
    };
    let mut told = ConfigFaults([faults, refusals].concat()).told(attempted);
    if !warnings.is_empty() {
        told += "\nand to know, though it stops nothing";
        for warning in warnings {
            told += "\n  - ";
            told += warning;
        }
    }
    Err(Failure::refused(reason, told))
}

#[cfg(test)]
mod tests;
