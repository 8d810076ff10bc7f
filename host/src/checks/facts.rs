//! Reads what the checks judge.

use host_actors::Memory as _;
use host_journal::postgres;
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::{Resource, geteuid, getrlimit};

use super::{Facts, Pool};
use crate::cgroup::Bounds;
use crate::config::{Config, Store};
use crate::heap::Heap;
use crate::launcher::Found;

impl Facts {
    /// Those of this process, and of the home and store that it would start. Asks a
    /// database's server, for a few seconds where that does not answer.
    pub(super) fn read(found: &Found, config: &Config) -> Self {
        let bounds = Bounds::own();
        let images = found.home.images();
        // It may have to be made yet: then it is on the file system of what is there.
        let mount = images.ancestors().find_map(|dir| statvfs(dir).ok());
        Self {
            environment: config.environment,
            is_root: geteuid().is_root(),
            allow_root: found.allow.root || config.allow_root,
            is_debug: cfg!(debug_assertions),
            allow_debug: found.allow.debug || config.allow_debug,
            group_memory_bytes: bounds.memory_bytes,
            has_cpu_limit: bounds.has_cpu,
            memory_bytes: Heap::new(config.runtime.memory_bytes).most_bytes(),
            files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            connections: host_gateway::connections_max(),
            pool: match &config.store {
                Store::Sqlite { .. } => Pool::None,
                Store::Postgres { address, pool_size } => match postgres::connections(address) {
                    Ok(max) => Pool::Asked {
                        size: *pool_size,
                        max,
                    },
                    Err(error) => Pool::Unknown(format!("{:#}", anyhow::Error::from(error))),
                },
            },
            addresses_missing: {
                let missing = config.listen.iter().copied();
                missing
                    .filter(|it| !host_gateway::has_address(it.ip()))
                    .collect()
            },
            certificate: {
                let identity = config.tls.as_ref().and_then(|files| files.identity().ok());
                identity.map_or_else(Vec::new, |it| it.warnings(&config.host))
            },
            key_is_open: config.tls.as_ref().is_some_and(|files| files.is_key_open()),
            images_noexec: mount
                .is_some_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC)),
            images,
        }
    }
}
