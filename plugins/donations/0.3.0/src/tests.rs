//! Tests: a desk that commands are handed to, and what it answers.

mod desk;
mod examples;
mod giving;
mod migrating;
mod properties;
mod refusing;
mod storing;
