//! The fake NVML, seen through the wrapper that the agent uses, as each driver branch's library.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use tempfile::TempDir;
use tfleet_agent::engine::Engine;
use tfleet_agent::inventory::Inspector;
use tfleet_tests::lab::gpu::Machine;
use tfleet_tests::lab::{Programs, SymbolSet, hide_symbols, machine};

/// The name by which this test program starts itself: NVML's environment belongs to a process.
const INSIDE: &str = "TFLEET_TEST_INSIDE";

/// A library with the symbols of a branch, and the GPU file that it reads.
struct Card {
    folder: TempDir,
}

impl Card {
    fn new(symbols: Option<SymbolSet>, machine: &Machine) -> Self {
        let card = Self {
            folder: TempDir::new().unwrap(),
        };
        let fake = Programs::beside_this_program()
            .unwrap()
            .fake_nvml()
            .unwrap();
        match symbols {
            Some(symbols) => hide_symbols(&fake, &symbols.names(), &card.library()).unwrap(),
            None => drop(std::fs::copy(fake, card.library()).unwrap()),
        }
        card.put(machine);
        card
    }

    fn put(&self, machine: &Machine) {
        machine.write(&self.gpu_file()).unwrap();
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("libnvidia-ml.so.1")
    }

    fn gpu_file(&self) -> PathBuf {
        self.folder.path().join("gpu.toml")
    }

    /// A path on which `nvidia-smi` is found, if it was put into the card's folder.
    fn path(&self) -> OsString {
        let mut path = self.folder.path().as_os_str().to_owned();
        if let Some(usual) = std::env::var_os("PATH") {
            path.push(":");
            path.push(usual);
        }
        path
    }

    /// Runs the test `name` of this program again, in a process whose NVML is this card's.
    fn inside(&self, name: &str) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, self.folder.path())
            .env("PATH", self.path())
            .env("TFLEET_FAKE_GPU_FILE", self.gpu_file())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        // A name that matches no test would succeed, too.
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    }
}

/// Where the library is, in the process that [`Card::inside`] started.
fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

fn open(folder: &Path) -> Result<Nvml, NvmlError> {
    let library = folder.join("libnvidia-ml.so.1");
    Nvml::builder().lib_path(library.as_os_str()).init()
}

fn t4(driver: &str) -> Machine {
    machine("t4", driver, &["Tesla T4".to_owned()]).unwrap()
}

#[test]
fn every_branch_opens_and_names_its_gpu() {
    let Some(folder) = inside() else {
        for symbols in SymbolSet::ALL {
            let driver = format!("{}.10", symbols.branch());
            Card::new(Some(symbols), &t4(&driver))
                .inside("nvml::every_branch_opens_and_names_its_gpu");
        }
        return;
    };
    let nvml = open(&folder).unwrap();
    assert_eq!(nvml.device_count().unwrap(), 1);
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(device.name().unwrap(), "Tesla T4");
    assert!(device.uuid().unwrap().starts_with("GPU-"));
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 41);
    assert_eq!(device.utilization_rates().unwrap().gpu, 0);
    let capability = device.cuda_compute_capability();
    match nvml.sys_driver_version().unwrap().as_str() {
        // That call is younger than 340.
        "340.10" => assert!(matches!(capability, Err(NvmlError::FailedToLoadSymbol(_)))),
        _ => assert_eq!(capability.unwrap().major, 7),
    }
}

#[test]
fn an_old_library_lacks_what_the_real_one_lacked() {
    let Some(folder) = inside() else {
        for symbols in SymbolSet::ALL {
            let driver = format!("{}.10", symbols.branch());
            Card::new(Some(symbols), &t4(&driver))
                .inside("nvml::an_old_library_lacks_what_the_real_one_lacked");
        }
        return;
    };
    let nvml = open(&folder).unwrap();
    let version = nvml.sys_driver_version().unwrap();
    let branch: u32 = version.split('.').next().unwrap().parse().unwrap();
    let device = nvml.device_by_index(0).unwrap();
    let lacks =
        |answer: Result<(), NvmlError>| matches!(answer, Err(NvmlError::FailedToLoadSymbol(_)));
    assert_eq!(
        lacks(nvml.sys_cuda_driver_version().map(drop)),
        branch < 418,
        "CUDA on {branch}"
    );
    assert_eq!(
        lacks(device.memory_info().map(drop)),
        branch < 535,
        "memory on {branch}"
    );
    assert_eq!(
        lacks(device.running_compute_processes().map(drop)),
        branch < 535,
        "processes on {branch}"
    );
    assert_eq!(
        lacks(device.mig_mode().map(drop)),
        branch < 450,
        "MIG on {branch}"
    );
}

#[test]
fn older_calls_answer_where_the_newer_are_missing() {
    let Some(folder) = inside() else {
        let mut machine = t4("390.157");
        machine.gpus[0].processes = vec![tfleet_tests::lab::gpu::Process {
            pid: 77,
            memory_mib: 900,
        }];
        Card::new(SymbolSet::of_branch(390), &machine)
            .inside("nvml::older_calls_answer_where_the_newer_are_missing");
        return;
    };
    let nvml = open(&folder).unwrap();
    let device = nvml.device_by_index(0).unwrap();
    let library = nvml.lib();
    let mut memory = nvml_wrapper_sys::bindings::nvmlMemory_t {
        total: 0,
        free: 0,
        used: 0,
    };
    let ask = library.nvmlDeviceGetMemoryInfo.as_ref().unwrap();
    // SAFETY: the handle is the wrapper's, the structure is the one that this version of the call fills.
    assert_eq!(unsafe { ask(device.handle(), &raw mut memory) }, 0);
    assert_eq!((memory.total >> 20, memory.used >> 20), (15_109, 900));
}

#[test]
fn a_change_of_the_file_is_seen_by_a_running_process() {
    let Some(folder) = inside() else {
        Card::new(None, &t4("550.54.15"))
            .inside("nvml::a_change_of_the_file_is_seen_by_a_running_process");
        return;
    };
    let file = folder.join("gpu.toml");
    let change = |edit: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::read(&file).unwrap();
        edit(&mut machine);
        machine.write(&file).unwrap();
    };
    let nvml = open(&folder).unwrap();
    let device = nvml.device_by_index(0).unwrap();
    change(&|machine| machine.gpus[0].temperature_c = Some(91));
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 91);
    change(&|machine| machine.gpus[0].lost = true);
    assert!(matches!(device.name(), Err(NvmlError::GpuLost)));
    change(&|machine| {
        machine.gpus[0].lost = false;
        machine.driver_version = Some("580.65.06".to_owned());
    });
    assert_eq!(nvml.sys_driver_version().unwrap(), "580.65.06");
    change(&|machine| machine.kernel_module_version = Some("550.54.15".to_owned()));
    assert!(matches!(
        open(&folder),
        Err(NvmlError::LibRmVersionMismatch)
    ));
    change(&|machine| *machine = Machine::default());
    assert!(matches!(open(&folder), Err(NvmlError::DriverNotLoaded)));
}

#[test]
fn an_xid_that_is_appended_is_an_event() {
    use nvml_wrapper::bitmasks::event::EventTypes;
    let Some(folder) = inside() else {
        Card::new(None, &t4("550.54.15")).inside("nvml::an_xid_that_is_appended_is_an_event");
        return;
    };
    let file = folder.join("gpu.toml");
    let nvml = open(&folder).unwrap();
    let set = nvml.create_event_set().unwrap();
    let device = nvml.device_by_index(0).unwrap();
    let set = device
        .register_events(EventTypes::CRITICAL_XID_ERROR, set)
        .map_err(|refused| refused.error)
        .unwrap();
    assert!(matches!(set.wait(50), Err(NvmlError::Timeout)));
    let mut machine = Machine::read(&file).unwrap();
    machine.gpus[0].xids.push(79);
    machine.write(&file).unwrap();
    let event = set.wait(5000).unwrap();
    assert!(format!("{event:?}").contains("79"), "{event:?}");
}

/// NVML's symbols in a library.
fn exported(library: &Path) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only"])
        .arg(library)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split(' ').next_back())
        .filter(|name| name.starts_with("nvml"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_single_missing_symbol_loses_the_host_or_its_gpu() {
    const PREFIX: &str = "without-";
    let Some(folder) = inside() else {
        let card = Card::new(None, &t4("550.54.15"));
        let smi = Programs::beside_this_program().unwrap().fake_smi().unwrap();
        std::fs::copy(smi, card.folder.path().join("nvidia-smi")).unwrap();
        let names = exported(&card.library());
        assert!(names.contains("nvmlShutdown") && names.contains("nvmlInit_v2"));
        for hidden in &names {
            let others = names.iter().filter(|name| *name != hidden);
            let others = others.map(String::as_str).collect();
            let library = card.folder.path().join(format!("{PREFIX}{hidden}"));
            hide_symbols(&card.library(), &others, &library).unwrap();
        }
        card.inside("nvml::no_single_missing_symbol_loses_the_host_or_its_gpu");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let library = entry.unwrap().path();
        let name = library.file_name().unwrap().to_string_lossy().into_owned();
        let Some(hidden) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let engine = Engine::connect("tcp://127.0.0.1:1").unwrap();
        let inspector = Inspector::new(engine, BTreeMap::new())
            .with_proc(folder.join("no-proc"))
            .with_nvml_library(&library);
        let inventory = runtime.block_on(inspector.inspect());
        let driver = inventory.driver.unwrap_or_else(|| panic!("{hidden}"));
        assert_eq!(driver.version, "550.54.15", "{hidden}");
        assert_eq!(driver.fault, None, "{hidden}");
        let [gpu] = inventory.gpus.as_slice() else {
            panic!("{hidden}: {:?}", inventory.gpus)
        };
        assert_eq!(gpu.name, "Tesla T4", "{hidden}");
        assert!(gpu.uuid.starts_with("GPU-"), "{hidden}: {}", gpu.uuid);
        assert_eq!(gpu.compute_capability.as_deref(), Some("7.5"), "{hidden}");
        assert_eq!(gpu.fault, None, "{hidden}");
        seen += 1;
    }
    assert!(seen > 20, "{seen} libraries");
}

#[test]
fn hidden_symbols_are_gone_and_the_others_stay() {
    for symbols in SymbolSet::ALL {
        let card = Card::new(Some(symbols), &Machine::default());
        let exported = exported(&card.library());
        assert!(
            exported.contains("nvmlInit_v2"),
            "branch {}",
            symbols.branch()
        );
        let foreign: Vec<_> = exported
            .iter()
            .filter(|name| !symbols.names().contains(name.as_str()))
            .collect();
        assert!(
            foreign.is_empty(),
            "branch {}: {foreign:?}",
            symbols.branch()
        );
    }
}
