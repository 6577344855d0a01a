//! GPUs and drivers that the lab knows by name, so that a lab's description stays short.

use tfleet_fake_gpu::{Gpu, Machine, MajorMinor};

use super::error::LabError;

/// Name as NVML says it, compute capability, memory in MiB, brand, ECC and MIG if the GPU has them.
type Model = (
    &'static str,
    (u32, u32),
    u64,
    &'static str,
    Option<bool>,
    Option<bool>,
);

const MODELS: &[Model] = &[
    ("Tesla K80", (3, 7), 11_441, "tesla", Some(true), None),
    (
        "Tesla P100-PCIE-16GB",
        (6, 0),
        16_280,
        "tesla",
        Some(true),
        None,
    ),
    (
        "Tesla V100-SXM2-16GB",
        (7, 0),
        16_160,
        "tesla",
        Some(true),
        None,
    ),
    ("Tesla T4", (7, 5), 15_109, "tesla", Some(true), None),
    (
        "NVIDIA A100-SXM4-40GB",
        (8, 0),
        40_536,
        "nvidia",
        Some(true),
        Some(false),
    ),
    ("NVIDIA A10G", (8, 6), 22_731, "nvidia", Some(true), None),
    (
        "NVIDIA H100 80GB HBM3",
        (9, 0),
        81_559,
        "nvidia",
        Some(true),
        Some(false),
    ),
    ("GeForce GTX 1080", (6, 1), 8_119, "geforce", None, None),
    (
        "NVIDIA GeForce RTX 3090",
        (8, 6),
        24_268,
        "geforce",
        None,
        None,
    ),
    (
        "NVIDIA GeForce RTX 4090",
        (8, 9),
        24_564,
        "geforce",
        None,
        None,
    ),
];

/// Driver branch → the CUDA release that came with it (NVIDIA's CUDA release notes, "CUDA Driver Versions").
const BRANCHES: &[(u32, (u32, u32))] = &[
    (340, (6, 5)),
    (352, (7, 5)),
    (375, (8, 0)),
    (384, (9, 0)),
    (390, (9, 1)),
    (396, (9, 2)),
    (410, (10, 0)),
    (418, (10, 1)),
    (440, (10, 2)),
    (450, (11, 0)),
    (455, (11, 1)),
    (460, (11, 2)),
    (465, (11, 3)),
    (470, (11, 4)),
    (495, (11, 5)),
    (510, (11, 6)),
    (515, (11, 7)),
    (520, (11, 8)),
    (525, (12, 0)),
    (530, (12, 1)),
    (535, (12, 2)),
    (545, (12, 3)),
    (550, (12, 4)),
    (555, (12, 5)),
    (560, (12, 6)),
    (565, (12, 7)),
    (570, (12, 8)),
    (575, (12, 9)),
    (580, (13, 0)),
];

/// A machine with this driver and these GPUs, by model name.
pub fn machine(host: &str, driver: &str, models: &[String]) -> Result<Machine, LabError> {
    let mut gpus = Vec::new();
    for (index, model) in models.iter().enumerate() {
        gpus.push(gpu(host, index, model)?);
    }
    Ok(Machine {
        driver_version: Some(driver.to_owned()),
        cuda_version: Some(cuda_of(driver)?),
        gpus,
        ..Machine::default()
    })
}

/// The newest CUDA that a driver of this version serves.
pub fn cuda_of(driver: &str) -> Result<MajorMinor, LabError> {
    let branch = branch(driver)?;
    BRANCHES
        .iter()
        .rev()
        .find(|(first, _)| *first <= branch)
        .map(|(_, (major, minor))| MajorMinor::new(*major, *minor))
        .ok_or_else(|| LabError::BadDescription(format!("driver {driver} is older than 340")))
}

/// The first number of a driver's version.
pub fn branch(driver: &str) -> Result<u32, LabError> {
    driver
        .split('.')
        .next()
        .and_then(|first| first.parse().ok())
        .ok_or_else(|| {
            LabError::BadDescription(format!(
                "`{driver}` is not a driver version such as 470.256.02"
            ))
        })
}

fn gpu(host: &str, index: usize, name: &str) -> Result<Gpu, LabError> {
    let (name, capability, memory_mib, brand, ecc, mig) =
        MODELS.iter().find(|model| model.0 == name).ok_or_else(|| {
            let known: Vec<_> = MODELS.iter().map(|model| model.0).collect();
            LabError::BadDescription(format!(
                "the lab knows no GPU `{name}`; it knows {}",
                known.join(", ")
            ))
        })?;
    Ok(Gpu {
        name: (*name).to_owned(),
        uuid: Some(uuid(host, index)),
        compute_capability: MajorMinor::new(capability.0, capability.1),
        memory_mib: *memory_mib,
        temperature_c: Some(41),
        utilisation_percent: Some(0),
        power_mw: Some(28_500),
        ecc: *ecc,
        mig: *mig,
        lost: false,
        reset_required: false,
        brand: Some((*brand).to_owned()),
        pci_bus_id: Some(format!("00000000:00:{:02X}.0", 0x1e - index)),
        xids: Vec::new(),
        processes: Vec::new(),
    })
}

/// The same GPU has the same UUID each time the lab comes up (FNV-1a over host and index, twice).
fn uuid(host: &str, index: usize) -> String {
    let hash = |salt: u8| {
        host.bytes()
            .chain([salt, index as u8])
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    };
    let text = format!("{:016x}{:016x}", hash(1), hash(2));
    format!(
        "GPU-{}-{}-{}-{}-{}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_serves_the_cuda_of_its_branch() {
        for (driver, cuda) in [
            ("470.256.02", "11.4"),
            ("535.183.01", "12.2"),
            ("418.226.00", "10.1"),
            ("390.157", "9.1"),
        ] {
            assert_eq!(cuda_of(driver).unwrap().to_string(), cuda, "{driver}");
        }
        assert!(cuda_of("304.1").is_err());
        assert!(cuda_of("newest").is_err());
    }

    #[test]
    fn hosts_have_different_gpus_and_keep_them() {
        assert_eq!(uuid("a", 0), uuid("a", 0));
        assert_ne!(uuid("a", 0), uuid("a", 1));
        assert_ne!(uuid("a", 0), uuid("b", 0));
    }
}
