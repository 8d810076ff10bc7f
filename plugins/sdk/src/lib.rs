//! host-sdk
