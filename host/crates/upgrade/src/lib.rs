//! host-upgrade
