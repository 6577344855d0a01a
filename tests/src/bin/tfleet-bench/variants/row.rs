//! What is built, and for which host.

use std::fmt;

use tfleet_tests::lab::HostDescription;

pub struct Row {
    /// Of the host and of the release.
    pub name: &'static str,
    /// Driver and GPU.
    pub driver: Option<&'static str>,
    pub gpu: Option<&'static str>,
    /// The release's constraint.
    pub tensorflow: &'static str,
    /// What the image shall have.
    pub python: &'static str,
    pub cuda: Option<&'static str>,
}

/// Each CUDA that is installed from the index's wheels, on the oldest driver here that serves it; the one recipe that
/// needs another Python; and the releases whose CUDA libraries tfleet looks for in other places than the rest.
pub const ROWS: [Row; 7] = [
    Row {
        name: "tf2-10",
        driver: Some("450.80.02"),
        gpu: Some("Tesla V100-SXM2-16GB"),
        tensorflow: "==2.10.*",
        python: "3.9",
        cuda: Some("11.8"),
    },
    Row {
        name: "tf2-14",
        driver: Some("470.256.02"),
        gpu: Some("Tesla T4"),
        tensorflow: "==2.14.*",
        python: "3.11",
        cuda: Some("11.8"),
    },
    Row {
        name: "tf2-15",
        driver: Some("535.183.01"),
        gpu: Some("NVIDIA A100-SXM4-40GB"),
        tensorflow: "==2.15.*",
        python: "3.11",
        cuda: Some("12.2"),
    },
    Row {
        name: "tf2-19",
        driver: Some("555.42.06"),
        gpu: Some("NVIDIA H100 80GB HBM3"),
        tensorflow: "==2.19.*",
        python: "3.11",
        cuda: Some("12.5"),
    },
    Row {
        name: "tf2-20",
        driver: Some("570.133.20"),
        gpu: Some("NVIDIA A10G"),
        tensorflow: "==2.20.*",
        python: "3.11",
        cuda: Some("12.5"),
    },
    Row {
        name: "tf2-21",
        driver: Some("580.82.07"),
        gpu: Some("NVIDIA GeForce RTX 4090"),
        tensorflow: "==2.21.*",
        python: "3.11",
        cuda: Some("12.5"),
    },
    Row {
        name: "tf2-15-cpu",
        driver: None,
        gpu: None,
        tensorflow: "==2.15.*",
        python: "3.11",
        cuda: None,
    },
];

impl Row {
    pub fn host(&self) -> HostDescription {
        let mut host = HostDescription::new(self.name);
        if let Some(driver) = self.driver {
            host = host.driver(driver);
        }
        match self.gpu {
            Some(gpu) => host.gpu(gpu),
            None => host,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.gpu, self.driver) {
            (Some(gpu), Some(driver)) => write!(out, "{gpu}, {driver}"),
            _ => out.write_str("no GPU"),
        }
    }
}
