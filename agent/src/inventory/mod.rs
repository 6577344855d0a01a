//! The host as it is: machine, driver, GPUs, engine, images, and the ways of giving a GPU to a container.
//!
//! A look never fails as a whole. What is missing is a value (no driver, no GPU), a fault beside the part that has it,
//! or a warning; and each value says where it comes from.

mod driver;
mod engine;
mod gpu_mode;
mod kernel_module;
mod lone_thread;
mod machine;
mod notes;
mod nvml;
mod runtime_mode;
mod silent_gpu;
mod smi;
mod watcher;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tfleet_proto::model::inventory::{Inventory, Machine, Source};

use self::driver::DriverProbe;
use self::lone_thread::LoneThread;
use self::notes::Notes;
pub use self::watcher::Watcher;
use crate::engine::Engine;

/// A file system says at once what is free, unless it lies on another machine that is gone.
const DISK_SILENT_FOR: Duration = Duration::from_secs(10);

/// Looks at the host.
#[derive(Debug)]
pub struct Inspector {
    engine: Engine,
    labels: BTreeMap<String, String>,
    driver: DriverProbe,
    disk: LoneThread,
    proc: PathBuf,
}

impl Inspector {
    pub fn new(engine: Engine, labels: BTreeMap<String, String>) -> Self {
        let proc = PathBuf::from("/proc");
        Self {
            engine,
            labels,
            driver: DriverProbe::new(proc.clone()),
            disk: LoneThread::new(DISK_SILENT_FOR),
            proc,
        }
    }

    /// Opens NVML from this file, and not from where the loader finds it.
    #[must_use]
    pub fn with_nvml_library(mut self, library: impl Into<PathBuf>) -> Self {
        self.driver.set_library(library.into());
        self
    }

    /// Reads another folder than /proc.
    #[must_use]
    pub fn with_proc(mut self, proc: impl Into<PathBuf>) -> Self {
        self.proc = proc.into();
        self.driver.set_proc(self.proc.clone());
        self
    }

    /// Looks once, at everything.
    pub async fn inspect(&self) -> Inventory {
        let (mut notes, mut of_driver, mut of_engine) =
            (Notes::default(), Notes::default(), Notes::default());
        let (machine, driver, engine) = tokio::join!(
            self.machine(&mut notes),
            self.driver.look(&mut of_driver),
            engine::look(&self.engine, &self.disk, &mut of_engine),
        );
        notes.append(of_driver);
        notes.append(of_engine);
        let (gpu_modes, runtime_mode) = match &engine.facts {
            Some(facts) => {
                notes.source("gpu_modes", Source::Engine);
                gpu_mode::look(self.engine.endpoint(), &self.proc, facts).await
            }
            None => (Vec::new(), None),
        };
        Inventory {
            observed_at: Timestamp::now(),
            machine,
            driver: driver.driver,
            gpus: driver.gpus,
            engine: engine.engine,
            gpu_modes,
            runtime_mode,
            images: engine.images,
            labels: self.labels.clone(),
            warnings: notes.warnings,
            sources: notes.sources,
        }
    }

    /// The proc file system answers from memory, so that it is read in place.
    async fn machine(&self, notes: &mut Notes) -> Machine {
        machine::look(&self.proc, notes)
    }
}

#[cfg(test)]
mod tests;
