//! An imitation of NVIDIA's `libnvidia-ml.so.1`, for machines without a GPU.
//!
//! It exports the C symbols that an inventory needs and answers them from the TOML file named by
//! `TFLEET_FAKE_GPU_FILE`, which is read again whenever it changes: a test can heat a GPU, lose it or change the
//! driver under a running process. It knows nothing of tfleet and shares no code with it, so that a test compares
//! tfleet with NVML's documented interface and not with itself.
//!
//! The library exports the newest and the older forms of each call. An old driver is imitated by a copy in which the
//! symbols that its library lacked have been renamed.

mod abi;
mod device;
mod event;
mod health;
mod process;
mod session;
mod system;
