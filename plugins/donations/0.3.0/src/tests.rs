//! Tests: a desk that commands are handed to, and what it answers.

mod days;
mod desk;
mod examples;
mod giving;
mod migrating;
mod promising;
mod properties;
mod recurring;
mod refusing;
mod storing;
