//! Tests: a desk that commands are handed to, and what it answers.

mod desk;
mod donating;
mod properties;
mod refusing;
mod storing;
