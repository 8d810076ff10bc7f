//! Reads what the checks judge.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use host_actors::Memory as _;
use host_journal::postgres;
use host_model::error::chain;
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};

use super::{Facts, Pool};
use crate::cgroup::Bounds;
use crate::config::{Draft, Store};
use crate::heap::Heap;
use crate::home::HomeError;
use crate::launcher::Found;

impl Facts {
    /// Those of this process, and of the home and store that it would start. Asks a
    /// database's server, for a few seconds where that does not answer. Nothing is looked
    /// for where what is set about it is not known.
    pub(super) fn read(found: &Found, draft: &Draft<'_>) -> Self {
        let bounds = Bounds::own();
        let config = &draft.config;
        let images = found.home.images();
        Self {
            environment: config.environment,
            is_root: geteuid().is_root(),
            allow_root: found.allow.root || config.allow_root || !draft.knows(&["HOST_ALLOW_ROOT"]),
            is_debug: cfg!(debug_assertions),
            allow_debug: found.allow.debug
                || config.allow_debug
                || !draft.knows(&["HOST_ALLOW_DEBUG"]),
            group_memory_bytes: bounds.memory_bytes,
            has_cpu_limit: bounds.has_cpu,
            memory_bytes: Heap::new(config.runtime.memory_bytes).most_bytes(),
            files: files(),
            connections: host_gateway::connections_max(),
            pool: match draft.knows(&["HOST_ENV", "POOL_SIZE", "SSL_CERT_FILE"]) {
                true => Pool::of(&config.store),
                false => Pool::None,
            },
            addresses_missing: {
                let missing = config.listen.iter().copied();
                missing
                    .filter(|it| !host_gateway::has_address(it.ip()))
                    .collect()
            },
            listen_from: draft.place("LISTEN").to_owned(),
            certificate: {
                let is_known = draft.knows(&["HOST", "PHX_HOST"]);
                let files = config.tls.as_ref().filter(|_| is_known);
                let identity = files.and_then(|files| files.identity().ok());
                identity.map_or_else(Vec::new, |it| it.warnings(&config.host))
            },
            key_is_open: config.tls.as_ref().is_some_and(|files| files.is_key_open()),
            unwritable: unwritable(found, draft),
            images_noexec: !draft.may_hide("HOST_DATA") && is_noexec(&images),
            images,
        }
    }
}

impl Pool {
    /// What the server of this store says.
    fn of(store: &Store) -> Self {
        let Store::Postgres { address, pool_size } = store else {
            return Self::None;
        };
        match postgres::connections(address) {
            Ok(max) => Self::Asked {
                size: *pool_size,
                max,
            },
            Err(error) => Self::Unknown(format!("{:#}", anyhow::Error::from(error))),
        }
    }
}

/// Files that this process may open.
fn files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Where the host would have to write and cannot, a sentence for each place.
fn unwritable(found: &Found, draft: &Draft<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut tried = BTreeSet::new();
    let mut refuse = |path: &Path, why: &dyn Fn(io::Error) -> String| {
        // What has yet to be made is so for the same reason as what stands beside it.
        let there = path.ancestors().find(|it| it.symlink_metadata().is_ok());
        let there = there.unwrap_or(Path::new("/"));
        if tried.insert(there.to_owned()) {
            // A file without a name: it is gone, also if this process ends here.
            let error = tempfile::tempfile_in(there).err();
            problems.extend(error.map(why));
        }
    };
    if !draft.may_hide("HOST_DATA") {
        for path in found.home.folders() {
            let why = |source| {
                let path = path.clone();
                chain(&HomeError::Io { path, source })
            };
            refuse(&path, &why);
        }
    }
    if let Store::Sqlite {
        path,
        default: false,
    } = &draft.config.store
        && let Some(folder) = path.parent()
    {
        let place = draft.place("DATABASE_URL");
        let why = |error: io::Error| {
            format!(
                "DATABASE_URL ({place}) has the store in {}, which cannot be written: {error}; name a file in a folder that this user may write",
                folder.display()
            )
        };
        refuse(folder, &why);
    }
    let files = found.home.files().into_iter();
    let store = match &draft.config.store {
        Store::Sqlite { path, .. } => Some(path.clone()),
        Store::Postgres { .. } => None,
    };
    for path in files.chain(store) {
        // Not opened: a process that closes a database lets go of SQLite's locks on it.
        if access(&path, Access::READ_OK | Access::WRITE_OK) == Err(Errno::ACCESS) {
            let source = Errno::ACCESS.into();
            let problem = chain(&HomeError::Io { path, source });
            problems.push(format!(
                "{problem}; give it to the user that the host runs as"
            ));
        }
    }
    problems
}

/// Whether nothing in this folder may be executed. It may have to be made yet: then it is on
/// the file system of what is there.
fn is_noexec(folder: &Path) -> bool {
    let mount = folder.ancestors().find_map(|dir| statvfs(dir).ok());
    mount.is_some_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC))
}
