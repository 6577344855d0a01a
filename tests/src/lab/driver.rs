//! A host's imitated driver: the GPU file, `/proc/driver/nvidia`, the library, `nvidia-smi` and the runtime.
//!
//! All of it lies in the host's folder and can be changed while the host works, as a real driver is upgraded under a
//! running agent.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};
use tfleet_fake_gpu::Machine;

use super::description::GpuAccess;
use super::engine::GpuSupport;
use super::error::{LabError, at};
use super::model::branch;
use super::nvml_library::{SymbolSet, hide_symbols};
use super::programs::Programs;

#[derive(Clone, Debug)]
pub struct Driver {
    folder: PathBuf,
    programs: Programs,
}

impl Driver {
    pub fn new(folder: PathBuf, programs: Programs) -> Self {
        Self { folder, programs }
    }

    /// What the fakes read.
    pub fn gpu_file(&self) -> PathBuf {
        self.folder.join("gpu/gpu.toml")
    }

    /// The folder with `libnvidia-ml.so.1`.
    pub fn library_folder(&self) -> PathBuf {
        self.folder.join("lib")
    }

    /// The folder with `nvidia-smi` and the `nvidia` runtime.
    pub fn program_folder(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// What an engine is told so that containers get GPUs in these ways.
    pub fn support(&self, ways: &[GpuAccess]) -> GpuSupport {
        let has = |way| ways.contains(&way);
        GpuSupport {
            runtime: has(GpuAccess::Runtime).then(|| {
                let file = format!("--gpu-file={}", self.gpu_file().display());
                (self.runtime(), vec![file])
            }),
            hook_folder: has(GpuAccess::DeviceRequest).then(|| self.hook_folder()),
            cdi_folder: has(GpuAccess::Cdi).then(|| self.cdi_folder()),
        }
    }

    fn runtime(&self) -> PathBuf {
        self.program_folder().join("nvidia-container-runtime")
    }

    fn hook_folder(&self) -> PathBuf {
        self.folder.join("hook")
    }

    fn cdi_folder(&self) -> PathBuf {
        self.folder.join("cdi")
    }

    pub fn machine(&self) -> Result<Machine, LabError> {
        Ok(Machine::read(&self.gpu_file())?)
    }

    /// Makes the host's folders. A host without a driver has nothing in them.
    pub fn prepare(&self) -> Result<(), LabError> {
        for part in ["gpu", "lib", "bin", "hook", "cdi", "proc-driver"] {
            let folder = self.folder.join(part);
            fs::create_dir_all(&folder).map_err(at("make", &folder))?;
        }
        Ok(())
    }

    /// Makes the host one with this driver and these GPUs: what runs sees the GPU file and `/proc` change at once, and
    /// the library at its next start. The library has the symbols that the driver's branch had.
    pub fn install(&self, machine: &Machine) -> Result<(), LabError> {
        let symbols = match &machine.driver_version {
            Some(version) => SymbolSet::of_branch(branch(version)?),
            None => None,
        };
        self.install_programs()?;
        self.install_library(symbols)?;
        self.change(machine)
    }

    /// Changes the GPU file and `/proc` alone, as a reboot into another kernel module or a failing GPU does.
    pub fn change(&self, machine: &Machine) -> Result<(), LabError> {
        self.change_proc(machine)?;
        let devices = self.cdi_folder().join("nvidia.json");
        write(&devices, &format!("{:#}\n", self.cdi(machine)))?;
        Ok(machine.write(&self.gpu_file())?)
    }

    /// `/proc/driver/nvidia`, replaced in one step: whoever reads it sees the old driver or the new one.
    fn change_proc(&self, machine: &Machine) -> Result<(), LabError> {
        let shown = self.folder.join("proc-driver/nvidia");
        let next = self.folder.join("proc-driver.next");
        remove_folder(&next)?;
        let Some(version) = machine.kernel_module_version() else {
            return remove_folder(&shown);
        };
        let gpus = next.join("gpus");
        fs::create_dir_all(&gpus).map_err(at("make", &gpus))?;
        write(&next.join("version"), &version_text(machine, version))?;
        for (index, gpu) in machine.gpus.iter().enumerate() {
            let bus = gpu.pci_bus_id(index).to_lowercase();
            // NVML writes the domain with eight digits, the kernel with four.
            let bus = bus.strip_prefix("0000").unwrap_or(&bus);
            let folder = gpus.join(bus);
            fs::create_dir(&folder).map_err(at("make", &folder))?;
            let text = format!(
                "Model: \t\t {}\nIRQ:   \t\t {}\nGPU UUID: \t {}\nBus Type: \t PCIe\nBus Location: \t {bus}\n\
                 Device Minor: \t {index}\n",
                gpu.name,
                11 + index,
                gpu.uuid(index),
            );
            write(&folder.join("information"), &text)?;
        }
        if !shown.exists() {
            return fs::rename(&next, &shown).map_err(at("rename", &next));
        }
        renameat_with(CWD, &next, CWD, &shown, RenameFlags::EXCHANGE)
            .map_err(|error| at("replace", &shown)(error.into()))?;
        remove_folder(&next)
    }

    /// The devices as `nvidia-ctk cdi generate` describes them: by index and UUID, and all of them.
    fn cdi(&self, machine: &Machine) -> Value {
        let gpus = machine.gpus.iter().enumerate();
        let edits = |indexes: &[usize]| {
            let nodes = indexes.iter().map(|index| format!("/dev/nvidia{index}"));
            // Plain files stand for the device nodes; any file will do.
            let nodes = nodes.map(|path| json!({ "hostPath": self.gpu_file(), "containerPath": path, "options": ["bind", "ro"] }));
            json!({ "mounts": nodes.collect::<Vec<_>>() })
        };
        let each = gpus.clone().flat_map(|(index, gpu)| {
            [index.to_string(), gpu.uuid(index)]
                .map(|name| json!({ "name": name, "containerEdits": edits(&[index]) }))
        });
        let all: Vec<usize> = gpus.map(|(index, _)| index).collect();
        let devices: Vec<_> = each
            .chain([json!({ "name": "all", "containerEdits": edits(&all) })])
            .collect();
        json!({
            "cdiVersion": "0.5.0",
            "kind": "nvidia.com/gpu",
            "devices": devices,
            "containerEdits": { "env": ["NVIDIA_VISIBLE_DEVICES=void"] },
        })
    }

    /// Replaces the library by one with these symbols; `None` is everything that the fake exports.
    pub fn install_library(&self, symbols: Option<SymbolSet>) -> Result<(), LabError> {
        let library = self.programs.fake_nvml()?;
        let installed = self.library_folder().join("libnvidia-ml.so.1");
        match symbols {
            Some(symbols) => hide_symbols(&library, &symbols.names(), &installed),
            None => copy(&library, &installed),
        }
    }

    fn install_programs(&self) -> Result<(), LabError> {
        let runtime = self.programs.fake_runtime()?;
        copy(&runtime, &self.runtime())?;
        let hook = self.hook_folder().join("nvidia-container-runtime-hook");
        copy(&runtime, &hook)?;
        let smi = self.program_folder().join("nvidia-smi");
        copy(&self.programs.fake_smi()?, &smi)
    }
}

/// The two spellings of the first line: the closed module's and the open one's.
fn version_text(machine: &Machine, version: &str) -> String {
    let module = if machine.open_kernel_module {
        format!("NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build  (imitated)")
    } else {
        format!("NVIDIA UNIX x86_64 Kernel Module  {version}  Thu Jan  1 00:00:00 UTC 1970")
    };
    format!("NVRM version: {module}\nGCC version:  imitated by tfleet's lab\n")
}

fn remove_folder(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(at("remove", path)(source))
        }
        _ => Ok(()),
    }
}

/// Copies under another name first: a program that runs cannot be overwritten, but replaced.
fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    let next = to.with_extension("next");
    fs::copy(from, &next).map_err(at("copy", from))?;
    fs::rename(&next, to).map_err(at("rename", &next))
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(at("write", path))
}
