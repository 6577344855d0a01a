//! The JSON Schemas (draft 2020-12) of what `tfleet` reads and prints offline. A form may gain keys within its version;
//! a key never changes its meaning or goes.

/// A list of hosts: what `tfleet plan --offline --hosts` reads and `tfleet hosts export` writes.
pub const HOSTS: &str = include_str!("../schema/hosts.v1.json");
/// What `tfleet plan --output json` prints.
pub const PLAN: &str = include_str!("../schema/plan.v1.json");
/// What `tfleet plan --explain HOST --output json` prints.
pub const EXPLANATION: &str = include_str!("../schema/explanation.v1.json");
/// What `tfleet compat --output json` prints.
pub const COMPAT: &str = include_str!("../schema/compat.v1.json");
