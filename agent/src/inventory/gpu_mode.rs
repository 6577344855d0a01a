//! Which ways of asking the engine for GPUs work on this host.
//!
//! An engine lists a runtime whose program is gone, and takes device requests only if it found NVIDIA's hook on its own
//! path when it started. So the programs are looked for, and where the engine would: on its path, below its root.

use std::fs;
use std::path::{Path, PathBuf};

use tfleet_proto::model::inventory::{GpuMode, RuntimeMode};
use tokio::net::UnixStream;

use super::runtime_mode;
use crate::engine::{ApiVersion, EngineFacts};

/// The program that the engine runs for a device request.
const HOOK: &str = "nvidia-container-runtime-hook";
/// The key under which NVIDIA's installers add the runtime.
const RUNTIME: &str = "nvidia";
/// The volume plug-in of nvidia-docker 1.
const VOLUME_PLUGIN: &str = "nvidia-docker";
/// NVIDIA's devices among those of the Container Device Interface.
const CDI_KIND: &str = "nvidia.com/gpu";
const DEVICE_REQUESTS_SINCE: ApiVersion = ApiVersion {
    major: 1,
    minor: 40,
};
/// The path of a service that says nothing about it, and of one that systemd listens for.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the engine's process finds programs and files.
#[derive(Debug)]
struct Surroundings {
    /// "/", or the root of the engine's process as another process reaches it.
    root: PathBuf,
    path: String,
}

/// Best first. Device requests are the engine's own way and name each GPU; the runtime does as much by an environment
/// variable; a CDI description may be that of a driver that was replaced since.
/// With them goes how NVIDIA's runtime then works.
pub(super) async fn look(
    endpoint: &str,
    proc: &Path,
    facts: &EngineFacts,
) -> (Vec<GpuMode>, Option<RuntimeMode>) {
    let process = engine_process(endpoint).await;
    let proc = proc.to_owned();
    let facts = facts.clone();
    let work = tokio::task::spawn_blocking(move || {
        let surroundings = Surroundings::of(process, &proc);
        let modes: Vec<GpuMode> = [
            (
                GpuMode::DeviceRequest,
                facts.api_version >= DEVICE_REQUESTS_SINCE && surroundings.has_program(HOOK),
            ),
            (GpuMode::Runtime, has_runtime(&facts, &surroundings)),
            (GpuMode::Cdi, has_cdi(&facts, &surroundings)),
            (
                GpuMode::VolumePlugin,
                facts
                    .volume_plugins
                    .iter()
                    .any(|plugin| plugin == VOLUME_PLUGIN),
            ),
        ]
        .into_iter()
        .filter_map(|(mode, works)| works.then_some(mode))
        .collect();
        let configured = runtime_mode::look(&surroundings.reach(Path::new(runtime_mode::FILE)));
        // The engine gives described devices itself, and NVIDIA's runtime is not asked.
        let by_engine = (modes == [GpuMode::Cdi]).then_some(RuntimeMode::Cdi);
        (modes, by_engine.or(configured))
    });
    // It fails only when the agent stops.
    work.await.unwrap_or_default()
}

/// The process that listens on the engine's socket, if it can be told.
async fn engine_process(endpoint: &str) -> Option<i32> {
    let socket = UnixStream::connect(endpoint.strip_prefix("unix://")?)
        .await
        .ok()?;
    let process = socket.peer_cred().ok()?.pid()?;
    // Zero is a process of another namespace, and systemd listens for engines that it has yet to start.
    (process > 1).then_some(process)
}

impl Surroundings {
    /// Those of the process, or the agent's own if that may not look into it.
    fn of(process: Option<i32>, proc: &Path) -> Self {
        let seen = process.and_then(|process| {
            let folder = proc.join(process.to_string());
            let environment = fs::read(folder.join("environ")).ok()?;
            let root = folder.join("root");
            root.join("proc").exists().then_some(Self {
                root,
                path: path_in(&environment),
            })
        });
        seen.unwrap_or_else(|| Self {
            root: PathBuf::from("/"),
            path: USUAL_PATH.to_owned(),
        })
    }

    /// `path` is absolute, as the engine sees it.
    fn reach(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn has_program(&self, name: &str) -> bool {
        let name = Path::new(name);
        // A symbolic link may lead to where it is valid only below the engine's root.
        let exists = |path: &Path| self.reach(path).symlink_metadata().is_ok();
        if name.is_absolute() {
            return exists(name);
        }
        self.path
            .split(':')
            .filter(|folder| folder.starts_with('/'))
            .any(|folder| exists(&Path::new(folder).join(name)))
    }
}

/// PATH in an environment as /proc shows it: entries that end with a zero.
pub(super) fn path_in(environment: &[u8]) -> String {
    let path = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"PATH="));
    path.map_or_else(
        || USUAL_PATH.to_owned(),
        |path| String::from_utf8_lossy(path).into_owned(),
    )
}

fn has_runtime(facts: &EngineFacts, surroundings: &Surroundings) -> bool {
    match facts.runtimes.get(RUNTIME) {
        Some(Some(program)) => surroundings.has_program(program),
        // A shim that containerd finds; the engine does not say where.
        Some(None) => true,
        None => false,
    }
}

/// Engines from 28.2 on tell the devices, those from 25 on the folders with their descriptions.
fn has_cdi(facts: &EngineFacts, surroundings: &Surroundings) -> bool {
    let is_nvidia = |device: &String| device.split('=').next() == Some(CDI_KIND);
    facts.cdi_devices.iter().any(is_nvidia)
        || facts
            .cdi_folders
            .iter()
            .any(|folder| describes_nvidia(&surroundings.reach(folder)))
}

/// Descriptions are JSON or YAML. The kind is a word that stands in them for nothing else, so that no parser is needed.
fn describes_nvidia(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        let is_description = path
            .extension()
            .is_some_and(|ending| ending == "json" || ending == "yaml");
        is_description && fs::read_to_string(&path).is_ok_and(|text| text.contains(CDI_KIND))
    })
}
