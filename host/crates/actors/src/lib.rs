//! host-actors
