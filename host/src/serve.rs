//! The host itself.

use anyhow::{Result, bail};

use crate::config::{Config, Secret};
use crate::home::{Home, HomeError};

// What the serving host needs of its home and its configuration.
const _: fn(&Home, &host_model::Version) -> Result<(), HomeError> = Home::set_permanent;
const _: fn(&Home) -> std::path::PathBuf = Home::images;
const _: fn(&Home) -> Result<Vec<crate::home::Release>, HomeError> = Home::releases;
const _: fn(&Secret) -> &str = Secret::expose;

/// Serves until it is stopped; calls `ready` when clients may come. Returns the
/// exit code: 0 stopped in order, 5 an operator must look, 75 boot me again.
///
/// # Errors
///
/// What kept it from starting, or made it end.
pub(crate) fn serve(home: Home, config: Config, ready: impl FnOnce()) -> Result<u8> {
    drop(ready);
    bail!(
        "serve {} with {config:?}: this build has no server",
        home.root.display()
    )
}
