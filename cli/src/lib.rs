//! The operator's command: a client of the coordinator, and what it prints.
//!
//! Modules import downwards only: `command` → `view` → `client` → `error`.

pub mod client;
pub mod command;
pub mod error;
pub mod view;
