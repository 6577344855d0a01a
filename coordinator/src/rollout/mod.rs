//! What hosts shall have: planning a release for a fleet, and the changes of desired state that follow.
//!
//! Everything here is decided by its arguments alone; the store applies a change to each host in one transaction.

mod container;
mod nearest;
mod placement;
mod planning;

#[cfg(test)]
mod tests;

pub use container::{ContainerChange, change_containers, run_container};
pub use nearest::nearest;
pub use placement::{NOT_BUILT, Placement, place, want_image};
pub use planning::{Candidate, Planning};
