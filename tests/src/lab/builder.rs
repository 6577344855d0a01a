//! The builder: an engine in the machine's own network, because builds fetch packages from mirrors that only the machine
//! itself may reach.

use std::fs;
use std::path::{Path, PathBuf};

use super::cell::Cell;
use super::engine::{Engine, EngineKind, EngineNetwork, GpuSupport};
use super::error::{LabError, at};
use super::id::LabId;
use super::network::{raise_bridge, remove_link};

#[derive(Clone, Debug)]
pub struct Builder {
    lab: LabId,
    folder: PathBuf,
    cell: Cell,
    engine: Engine,
}

/// No host can have this name: it has a dot.
const NAME: &str = "builder.engine";

impl Builder {
    pub fn new(kind: EngineKind, lab: LabId, state: &Path, tree: Option<PathBuf>) -> Self {
        let folder = state.join("builder");
        let cell = Cell::new(
            folder.clone(),
            state.join("ns").join(NAME),
            None,
            tree,
            lab.control_group(NAME),
        );
        let network = EngineNetwork::Shared {
            bridge: lab.builder_bridge(),
        };
        let engine = Engine::new(
            kind,
            folder.join("engine"),
            cell.clone(),
            network,
            GpuSupport::default(),
        );
        Self {
            lab,
            folder,
            cell,
            engine,
        }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn raise(&self) -> Result<(), LabError> {
        // A machine with a GPU hides its driver from the lab's other cells; here nothing looks at it.
        let proc_driver = self.folder.join("proc-driver");
        fs::create_dir_all(&proc_driver).map_err(at("make", &proc_driver))?;
        raise_bridge(
            &self.lab.builder_bridge(),
            self.lab.builder_bridge_address(),
        )?;
        self.cell.raise()?;
        self.engine.start()
    }

    pub fn lower(&self) -> Result<(), LabError> {
        self.engine.cut()?;
        self.cell.remove()?;
        remove_link(&self.lab.builder_bridge())
    }
}
