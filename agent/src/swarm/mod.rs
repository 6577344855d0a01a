//! Which chunk to fetch from whom, and whom to serve: decisions of one agent among many that want the same artifact.
//!
//! Nothing here reads a clock, a socket or a disk. `now` is the time since the transfer began; randomness comes from a
//! seed. The agent (`artifact::crowd`, `peers`) and the simulation (`make bench-delivery`) drive the same code.

mod choice;
mod download;
mod neighbour;
mod plan;
mod settings;
mod uploads;

#[cfg(test)]
mod tests;

pub use download::{Action, Download, Source};
pub use settings::{Order, Settings};
pub use uploads::{Answer, Uploads};
