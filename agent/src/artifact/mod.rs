//! Verified delivery of an image into the engine.
//!
//! An image comes as an index and chunks. The layers that the engine lacks are fetched chunk by chunk, verified, kept on
//! disk as received, and written into an archive that the engine loads while they arrive. What the engine then has is
//! compared with the index before it gets its tags. The chunks stay for images to come, as far as there is room: equal
//! ones are not fetched again, similar ones come as patches.

mod archive;
mod blocking;
mod crowd;
mod delivery;
mod error;
mod fetch;
mod index;
mod interruption;
mod kept;
mod load;
mod loaded;
mod numbering;
mod patches;
mod patience;
mod presence;
mod progress;
mod space;
mod spool;

pub use delivery::{Delivered, Delivery, is_loading, loading_reference};
pub use error::DeliveryError;
pub use interruption::FetchError;
pub use kept::Limit;
pub use loaded::LoadedError;
pub use progress::ImageProgress;
pub use space::{NoSpace, SpaceError};
pub use spool::SpoolError;

#[cfg(test)]
mod tests;
