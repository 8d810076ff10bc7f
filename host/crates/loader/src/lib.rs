//! host-loader
