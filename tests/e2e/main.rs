//! A host as a whole: homes laid out by `make home`, the program as it is built,
//! the client that browsers use.
//!
//! `E2E_HOME` names a home to copy for each test; without it one is made from what
//! is built in the profile `dev`. Tests with the npm client need Node and
//! `npm ci` in `tests/js`, both of which `make test` sees to.

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod api;
#[cfg(test)]
mod appups;
#[cfg(test)]
mod better_than_otp;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod builds;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod cold;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod container;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod donations;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod history;
#[cfg(test)]
mod hops;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod large;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod log;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod model;
#[cfg(test)]
mod once;
#[cfg(test)]
mod one_way;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod paused;
#[cfg(test)]
mod phoenix;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod plugin_settings;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod present;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod prompt;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rehearsal;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod server;
#[cfg(test)]
mod service;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod stay;
#[cfg(test)]
mod stuck;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod trail;
#[cfg(test)]
mod two_steps;
#[cfg(test)]
mod unheard;
#[cfg(test)]
mod unknown;
#[cfg(test)]
mod verification;
