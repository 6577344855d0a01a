//! How far a delivery is.

/// All in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageProgress {
    /// Content of all layers of the image, uncompressed, …
    pub content_bytes: u64,
    /// … of which the engine had these already, …
    pub present_bytes: u64,
    /// … these were fetched and verified, kept ones included, …
    pub fetched_bytes: u64,
    /// … and these were handed to the engine.
    pub loaded_bytes: u64,
    /// Of the fetched, what this host kept of an earlier attempt or image, or made of such.
    pub kept_bytes: u64,
    /// What crossed the wire in this attempt, compressed.
    pub wire_bytes: u64,
    /// Of it, what came from other hosts.
    pub peer_bytes: u64,
}
