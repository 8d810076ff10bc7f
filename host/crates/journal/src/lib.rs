//! host-journal
