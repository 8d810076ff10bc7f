//! host-control
