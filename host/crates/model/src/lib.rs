//! host-model
