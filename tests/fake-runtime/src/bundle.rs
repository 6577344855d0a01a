//! The container's bundle: what it asks for, and what the runtime adds to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tfleet_fake_gpu::{GpuFileError, Machine};

use crate::HOOK;
use crate::request::{Devices, Request};

#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot {operation} {path}: {source}")]
    File {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} is not a container's configuration: {source}")]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error(transparent)]
    GpuFile(#[from] GpuFileError),
}

/// Where the container finds the GPU file and the fake library that reads it.
const INSIDE: &str = "/run/imitated-gpu";
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1";

pub fn read(folder: &Path) -> Result<Value, BundleError> {
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).map_err(at("read", &path))?;
    serde_json::from_str(&text).map_err(|source| BundleError::Parse { path, source })
}

/// What the container's environment asks for.
pub fn request(config: &Value) -> Option<Request> {
    let variables = config["process"]["env"].as_array()?;
    Request::of_environment(variables.iter().filter_map(Value::as_str))
}

/// Adds the hook, and what the container sees of the driver. A container that asks for nothing gets nothing. Devices that
/// do not exist are left to the hook, which says so.
pub fn prepare(folder: &Path, gpu_file: &Path) -> Result<(), BundleError> {
    let mut config = read(folder)?;
    let Some(request) = request(&config) else {
        return Ok(());
    };
    let own = std::env::current_exe().map_err(at("find", Path::new("/proc/self/exe")))?;
    add(
        &mut config,
        "/hooks/prestart",
        json!({
            "path": own,
            "args": [own, format!("--gpu-file={}", gpu_file.display()), HOOK],
        }),
    );
    let machine = Machine::read(gpu_file)?;
    if let Ok(gpus) = request.devices.select(&machine) {
        let devices = folder.join("imitated-devices");
        fs::create_dir_all(&devices).map_err(at("make", &devices))?;
        let numbered = gpus.iter().map(|(index, _)| format!("nvidia{index}"));
        for name in ["nvidiactl".to_owned(), "nvidia-uvm".to_owned()]
            .into_iter()
            .chain(numbered)
        {
            let file = devices.join(&name);
            fs::write(&file, "").map_err(at("write", &file))?;
            mount(&mut config, &file, &format!("/dev/{name}"));
        }
        let seen = match request.devices {
            // The machine's own file, so that a GPU that heats up does so inside, too.
            Devices::All => gpu_file.parent().unwrap_or(Path::new("/")).to_owned(),
            Devices::None | Devices::Some(_) => {
                let gpus = gpus.iter().map(|(_, gpu)| (*gpu).clone()).collect();
                let folder = folder.join("imitated-gpu");
                fs::create_dir_all(&folder).map_err(at("make", &folder))?;
                Machine {
                    gpus,
                    ..machine.clone()
                }
                .write(&folder.join("gpu.toml"))?;
                folder
            }
        };
        mount(&mut config, &seen, INSIDE);
        add(
            &mut config,
            "/process/env",
            json!(format!("TFLEET_FAKE_GPU_FILE={INSIDE}/gpu.toml")),
        );
        if request.utility {
            let programs = own.parent().unwrap_or(Path::new("/"));
            let library = programs.with_file_name("lib").join("libnvidia-ml.so.1");
            mount_if_present(&mut config, &library, LIBRARY);
            mount_if_present(
                &mut config,
                &programs.join("nvidia-smi"),
                "/usr/bin/nvidia-smi",
            );
        }
    }
    let path = folder.join("config.json");
    fs::write(&path, config.to_string()).map_err(at("write", &path))
}

fn mount_if_present(config: &mut Value, source: &Path, destination: &str) {
    if source.exists() {
        mount(config, source, destination);
    }
}

fn mount(config: &mut Value, source: &Path, destination: &str) {
    add(
        config,
        "/mounts",
        json!({
            "destination": destination,
            "type": "bind",
            "source": source,
            "options": ["rbind", "ro", "nosuid"],
        }),
    );
}

/// Appends to the array at `pointer`, which is made where it is missing.
fn add(config: &mut Value, pointer: &str, value: Value) {
    let array = pointer
        .split('/')
        .filter(|key| !key.is_empty())
        .fold(config, |place, key| {
            if place.is_null() {
                *place = json!({});
            }
            &mut place[key]
        });
    match array.as_array_mut() {
        Some(array) => array.push(value),
        None => *array = json!([value]),
    }
}

fn at<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> BundleError + use<'a> {
    move |source| BundleError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}
