//! What long runs are told through their environment.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Result, anyhow};

/// A variable of the environment; empty counts as unset.
///
/// # Errors
///
/// That it has a value which makes no sense.
pub fn read<T: FromStr>(name: &str, default: T) -> Result<T>
where
    T::Err: Display,
{
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|e| anyhow!("read {name}={text}: {e}"))
        }
        _ => Ok(default),
    }
}
