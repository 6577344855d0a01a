//! What the programs that move images tell the C library's allocator.

/// Arenas of glibc's allocator, instead of eight for each processor.
#[cfg(target_env = "gnu")]
const ARENAS: std::ffi::c_int = 2;

/// What is larger has pages of its own, which the kernel gets back at once: contents of chunks, but not most of their frames.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: std::ffi::c_int = 2 << 20;

/// So much that is free stays with the program.
#[cfg(target_env = "gnu")]
const SPARE_BYTES: std::ffi::c_int = 16 << 20;

/// Has memory that was given back used by all threads, or by the kernel. Call it first of all.
///
/// Contents of chunks, megabytes each, come and go on dozens of threads. Left to itself, glibc keeps for each thread the most
/// that it ever had: 138 MiB at the peak of a delivery by patches instead of 82, for the agent.
pub fn share_among_threads() {
    #[cfg(target_env = "gnu")]
    // Safety: mallopt(3) takes any number, and tells whether it did.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE_BYTES);
    }
}
