//! host-cli
