//! What one connection may take of this process.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    pub(super) streams: u32,
    pub(super) stream_window_bytes: u32,
    pub(super) connection_window_bytes: u32,
    pub(super) frame_bytes: u32,
    pub(super) send_buffer_bytes: usize,
    /// Ends a connection after this time.
    pub(super) longest: Option<Duration>,
}

impl Allowance {
    /// For peers with a certificate: images and commands flow, as long as it takes.
    pub const MEMBER: Self = Self {
        streams: 256,
        stream_window_bytes: 1 << 20,
        connection_window_bytes: 8 << 20,
        frame_bytes: 1 << 20,
        send_buffer_bytes: 1 << 20,
        longest: None,
    };

    /// For peers that nobody knows: one short question and its answer, also over a bad line. Each takes 200 KiB at most.
    pub const STRANGER: Self = Self {
        streams: 2,
        stream_window_bytes: 1 << 16,
        connection_window_bytes: 1 << 16,
        frame_bytes: 1 << 14,
        send_buffer_bytes: 1 << 16,
        longest: Some(Duration::from_secs(120)),
    };
}
