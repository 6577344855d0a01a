//! tfleet's evaluation of what an image requires, against the imitated runtime's: two programs that were written apart
//! from the same sources (libnvidia-container and the container toolkit) must agree in every cell of a grid, down to the
//! words of the refusal.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::collections::BTreeSet;

use tfleet_compat::{
    Architecture, Catalog, DriverVersion, Gpu, HostFacts, ImageGate, gate_answer, rules,
};
use tfleet_fake_gpu::{Machine, MajorMinor};
use tfleet_fake_runtime::hook;
use tfleet_fake_runtime::request::Request;

/// Every branch, at its edges, and drivers outside what the catalog knows.
const DRIVERS: [&str; 40] = [
    "375.82",
    "384.81",
    "384.183",
    "390.157",
    "396.37",
    "396.82",
    "410.48",
    "410.129",
    "418.39",
    "418.226.00",
    "440.33",
    "440.118.02",
    "450.36.06",
    "450.80.02",
    "450.248.02",
    "455.23",
    "460.27.03",
    "465.19.01",
    "470.42.01",
    "470.256.02",
    "495.29.05",
    "510.39.01",
    "510.108.03",
    "515.43.04",
    "520.61.05",
    "525.60.13",
    "525.147.05",
    "530.30.02",
    "535.43.02",
    "535.54.03",
    "535.309.01",
    "545.23.06",
    "550.54.14",
    "555.42.02",
    "560.28.03",
    "565.57.01",
    "570.26",
    "570.124.06",
    "580.65.06",
    "699.10",
];

/// Brand and compute capability.
const GPUS: [(&str, u32, u32); 14] = [
    ("tesla", 3, 7),
    ("Tesla", 7, 5),
    ("nvidia", 8, 0),
    ("NVIDIA", 9, 0),
    ("geforce", 6, 1),
    ("GeForceRTX", 8, 9),
    ("quadro", 5, 2),
    ("quadrortx", 7, 5),
    ("nvidiartx", 8, 6),
    ("titan", 7, 0),
    ("titanrtx", 7, 5),
    ("grid", 7, 5),
    ("unknown", 12, 0),
    ("cloudgaming", 8, 9),
];

/// Each rule of the grammar, and what is outside it.
const HAND_MADE: [&str; 64] = [
    "",
    " ",
    ",",
    " cuda>=12.2",
    "cuda>=12.2 ",
    "cuda>=12.2  brand=tesla",
    "cuda>=12.2 ,",
    ", cuda>=99",
    "cuda>=99 , driver>=1",
    "cuda>=99,",
    ",,cuda>=11.0,,driver>=470,",
    "cuda=11.4",
    "cuda!=11.4",
    "cuda<11.4",
    "cuda<=11.4",
    "cuda>11.4",
    "cuda>=11.4",
    "cuda!11.4",
    "CUDA>=12.3",
    "Cuda>=12.3 DRIVER>=470,Driver<471",
    "cuda>=12",
    "cuda>=12.0.0",
    "cuda>=012.00",
    "cuda>=12.",
    "cuda>=12..2",
    "cuda>=.12",
    "cuda>=...",
    "cuda>=12.2.1",
    "cuda==12",
    "cuda=>12",
    "cuda=<12",
    "cuda<>12",
    "cuda>==12",
    "cuda",
    "cuda>=",
    ">=12",
    "=",
    "cuda>=twelve",
    "cuda>=12-rc1",
    "cuda>=12=1",
    "cuda>=\t12",
    "cuda>=12\tdriver>=1",
    "cuda>=18446744073709551614",
    "cuda>=18446744073709551615",
    "cuda>=11.18446744073709551616",
    "driver>=470.256.2",
    "driver=470.256.02.0",
    "driver<470.256.02.99999999999999999999999999",
    "driver>=450 driver<400",
    "driver!=535.54.3",
    "arch>=7.5",
    "arch=7.5.0",
    "arch<7",
    "arch>=Turing",
    "brand=tesla",
    "brand!=TESLA",
    "brand!tesla",
    "brand>=tesla",
    "brand=",
    "colour=red",
    "cuda>=1 nonsense",
    "cuda>=99 nonsense",
    "cuda>=99,nonsense brand=tesla",
    "cuda>=99 brand=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

/// One machine, as both sides are told of it.
struct Cell {
    machine: Machine,
    host: HostFacts,
}

fn cell(driver: &str, gpus: &[(&str, u32, u32)]) -> Cell {
    let catalog = Catalog::builtin();
    let version: DriverVersion = driver.parse().unwrap();
    let mut host = HostFacts::new("a");
    let mut machine = Machine {
        driver_version: Some(driver.to_owned()),
        cuda_version: catalog
            .cuda_level_of(&version)
            .map(|level| MajorMinor::new(level.major(), level.minor())),
        ..Machine::default()
    };
    host.driver_version = Some(version);
    for (brand, major, minor) in gpus {
        let mut gpu = Gpu::named("a board");
        gpu.brand = Some((*brand).to_owned());
        gpu.compute_capability = Some(format!("{major}.{minor}").parse().unwrap());
        host.gpus.push(gpu);
        machine.gpus.push(tfleet_fake_gpu::Gpu {
            name: "a board".to_owned(),
            uuid: None,
            compute_capability: MajorMinor::new(*major, *minor),
            memory_mib: 1,
            temperature_c: None,
            utilisation_percent: None,
            power_mw: None,
            ecc: None,
            mig: None,
            lost: false,
            reset_required: false,
            brand: Some((*brand).to_owned()),
            pci_bus_id: None,
            xids: Vec::new(),
            processes: Vec::new(),
        });
    }
    Cell { machine, host }
}

/// Asks both sides. True: the container starts.
fn agree(cell: &Cell, environment: &[&str]) -> bool {
    let catalog = Catalog::builtin();
    let request = Request::of_environment(environment.iter().copied()).unwrap();
    let theirs = hook::serve(&request, &cell.machine).map_err(|refusal| refusal.to_string());
    let gate = ImageGate::from_environment(environment.iter().copied());
    let ours = match rules::unsatisfied_requirement(catalog, &cell.host, &gate) {
        None => Ok(()),
        // Both refuse, but the real hook fails before the runtime's own words come up.
        Some(unsatisfied) if unsatisfied.asked.variable == "CUDA_VERSION" => {
            assert!(theirs.is_err(), "{environment:?}");
            theirs.clone()
        }
        Some(unsatisfied) => Err(format!("requirement error: {}", unsatisfied.unmet)),
    };
    let driver = cell.host.driver_version.as_ref().unwrap();
    assert_eq!(
        ours, theirs,
        "{driver} {:?} {environment:?}",
        cell.host.gpus
    );
    let answer = gate_answer(catalog, &cell.host, &gate);
    assert_eq!(answer.starts, theirs.is_ok(), "{driver} {environment:?}");
    assert_eq!(
        answer.remedy.is_some(),
        theirs.is_err(),
        "{driver} {environment:?}"
    );
    theirs.is_ok()
}

fn agree_on(cells: &[Cell], texts: impl IntoIterator<Item = String>) -> (usize, usize) {
    let (mut starts, mut refusals) = (0, 0);
    for text in texts {
        let variable = format!("NVIDIA_REQUIRE_CUDA={text}");
        for cell in cells {
            if agree(cell, &["NVIDIA_VISIBLE_DEVICES=all", &variable]) {
                starts += 1;
            } else {
                refusals += 1;
            }
        }
    }
    (starts, refusals)
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for driver in DRIVERS {
        cells.extend(GPUS.map(|gpu| cell(driver, &[gpu])));
        cells.push(cell(driver, &[]));
        cells.push(cell(driver, &[GPUS[1], GPUS[5]]));
        cells.push(cell(driver, &[GPUS[5], GPUS[1]]));
    }
    cells
}

#[test]
fn both_agree_on_every_requirement_of_nvidias_images() {
    let catalog = Catalog::builtin();
    let texts: BTreeSet<String> = catalog
        .images()
        .flat_map(|image| {
            [Architecture::X86_64, Architecture::Aarch64]
                .map(|architecture| image.require(catalog, architecture))
        })
        .flatten()
        .collect();
    assert!(texts.len() > 50, "{}", texts.len());
    let (starts, refusals) = agree_on(&cells(), texts);
    assert!(starts > 10_000 && refusals > 10_000, "{starts} {refusals}");
}

#[test]
fn both_agree_on_every_rule_of_the_grammar() {
    let texts = HAND_MADE.map(str::to_owned);
    let (starts, refusals) = agree_on(&cells(), texts);
    assert!(starts > 10_000 && refusals > 10_000, "{starts} {refusals}");
}

#[test]
fn both_agree_on_what_an_environment_asks() {
    let environments: [&[&str]; 14] = [
        &["NVIDIA_VISIBLE_DEVICES=all"],
        &[
            "NVIDIA_VISIBLE_DEVICES=none",
            "NVIDIA_REQUIRE_CUDA=brand=tesla,cuda>=12",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=1",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=True",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=yes",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_A=arch>=8.0",
            "NVIDIA_REQUIRE_B=brand=tesla",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_JETPACK=csv-mounts=all",
        ],
        &[
            "NVIDIA_VISIBLE_DEVICES=all",
            "CUDA_VERSION=12.2.2",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.2",
        ],
        &["CUDA_VERSION=8.0.61"],
        &["CUDA_VERSION=v9.1.85-1"],
        &["CUDA_VERSION=10", "NVIDIA_REQUIRE_CUDA="],
        &["CUDA_VERSION=8.0.44.1"],
        &["CUDA_VERSION=latest", "NVIDIA_DISABLE_REQUIRE=t"],
    ];
    let cells = cells();
    for environment in environments {
        for cell in cells.iter().filter(|cell| !cell.host.gpus.is_empty()) {
            let mut host = cell.host.clone();
            // `none` shows no GPU to the runtime, and tfleet is asked about a host without one.
            if environment[0].ends_with("=none") {
                host.gpus.clear();
            }
            let machine = cell.machine.clone();
            let cell = Cell { machine, host };
            agree(&cell, environment);
        }
    }
}

#[test]
fn both_agree_on_whether_an_image_asks_at_all() {
    use tfleet_compat::gate::AskedDevices;
    for value in [
        "",
        " ",
        "void",
        "all",
        "none",
        "0",
        "0,1",
        "all,void",
        "0,none,all",
        " 0 , all",
        "GPU-1,",
        "ALL",
    ] {
        let variable = format!("NVIDIA_VISIBLE_DEVICES={value}");
        for environment in [
            vec![variable.as_str()],
            vec![variable.as_str(), "CUDA_VERSION=8.0"],
        ] {
            let theirs = Request::of_environment(environment.iter().copied());
            let ours = ImageGate::from_environment(environment.iter().copied());
            assert_eq!(
                theirs.is_none(),
                *ours.devices() == AskedDevices::Nothing,
                "{environment:?}"
            );
        }
    }
}
