//! The functions of the table by which a plugin is configured.

#![allow(
    unsafe_code,
    reason = "the SDK's room for unsafe: pointers that the host passes through the table"
)]

use std::marker::PhantomData;

use host_abi::{Bytes, Part, Sink, Status};

use super::{Migrations, Shape, run};
use crate::configure::Configure;
use crate::decision::Rejection;

/// The part of the table that differs with [`Configured`].
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    pub(super) config: unsafe extern "C" fn(*const Sink) -> Status,
    pub(super) configure: unsafe extern "C" fn(Bytes, *const Sink) -> Status,
}

/// That of a plugin without settings.
pub(super) const ABSENT: Configuration = Configuration {
    config: no_settings,
    configure: not_configured,
};

/// A plugin of the shape `S` that is configured.
#[derive(Debug)]
pub struct Configured<S>(PhantomData<S>);

impl<S: Shape<Plugin: Configure>> Shape for Configured<S> {
    type Plugin = S::Plugin;
    const MIGRATES_FROM: Option<&'static str> = S::MIGRATES_FROM;
    const MIGRATIONS: Migrations = S::MIGRATIONS;
    const CONFIGURATION: Configuration = Configuration {
        config: settings::<S::Plugin>,
        configure: configure::<S::Plugin>,
    };
}

unsafe extern "C" fn no_settings(_: *const Sink) -> Status {
    Status::ABSENT
}

unsafe extern "C" fn not_configured(_: Bytes, _: *const Sink) -> Status {
    Status::ABSENT
}

unsafe extern "C" fn settings<P: Configure>(sink: *const Sink) -> Status {
    // SAFETY: the host's sink.
    unsafe { run(sink, |out| out.json(Part::DOCUMENT, &P::SETTINGS)) }
}

unsafe extern "C" fn configure<P: Configure>(config: Bytes, sink: *const Sink) -> Status {
    // SAFETY: the host's bytes and sink, for this call.
    unsafe {
        run(sink, |_| {
            let config = serde_json::from_slice(config.as_slice());
            P::configure(config.map_err(|error| Rejection::new("bad_config", error.to_string()))?);
            Ok(())
        })
    }
}
