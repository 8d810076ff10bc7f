//! Zakat on wealth, version 0.2.0.
