//! Serving artifacts to hosts.
