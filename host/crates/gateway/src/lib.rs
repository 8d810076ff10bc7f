//! host-gateway

pub mod ws;
