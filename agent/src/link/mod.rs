//! The session with the coordinator.
