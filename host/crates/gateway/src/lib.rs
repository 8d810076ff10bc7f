//! host-gateway
