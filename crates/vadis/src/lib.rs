//! vadis.
