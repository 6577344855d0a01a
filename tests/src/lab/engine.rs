//! A Docker Engine of the lab's own: containerd and dockerd with their own state, in a host's cell.
//!
//! containerd runs as a process of its own: one that dockerd starts makes an immediate restart of dockerd fail.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cell::{Cell, PATH};
use super::command::run;
use super::daemon::Daemon;
use super::error::{LabError, at};

/// Which engine a host has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// This machine's own `docker.io`: 20.10 on Debian 12.
    #[default]
    System,
    /// Debian 13's: 26.1, overlay2.
    Trixie,
    /// Debian 13's with the containerd image store.
    TrixieContainerd,
    /// Debian 14's: 28.5.
    Forky,
}

impl EngineKind {
    pub const ALL: [Self; 4] = [
        Self::System,
        Self::Trixie,
        Self::TrixieContainerd,
        Self::Forky,
    ];

    /// The Debian release it comes from, unless it is this machine's own.
    pub fn release(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Trixie | Self::TrixieContainerd => Some("trixie"),
            Self::Forky => Some("forky"),
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::System => "system",
            Self::Trixie => "trixie",
            Self::TrixieContainerd => "trixie-containerd",
            Self::Forky => "forky",
        })
    }
}

/// What the engine's containers are connected to.
#[derive(Clone, Debug)]
pub enum EngineNetwork {
    /// `docker0` in the host's own network namespace. A registry at an address of this range may have any certificate.
    Own { registries: String },
    /// A bridge that the lab made in the machine's namespace; the engine touches neither `docker0` nor iptables.
    Shared { bridge: String },
}

/// What the engine is told of GPUs; the default is nothing.
#[derive(Clone, Debug, Default)]
pub struct GpuSupport {
    /// The `nvidia` runtime's program and arguments.
    pub runtime: Option<(PathBuf, Vec<String>)>,
    /// A folder on the engine's path that holds NVIDIA's hook: the engine then takes device requests.
    pub hook_folder: Option<PathBuf>,
    /// A folder with descriptions of devices.
    pub cdi_folder: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Engine {
    kind: EngineKind,
    folder: PathBuf,
    cell: Cell,
    network: EngineNetwork,
    gpus: GpuSupport,
    containerd: Daemon,
    dockerd: Daemon,
}

/// An engine that does not answer for so long has failed, on the slowest machine too.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// dockerd gives its containers 15 s.
const STOP_WITHIN: Duration = Duration::from_secs(25);

impl Engine {
    pub fn new(
        kind: EngineKind,
        folder: PathBuf,
        cell: Cell,
        network: EngineNetwork,
        gpus: GpuSupport,
    ) -> Self {
        Self {
            containerd: Daemon::new(&folder, "containerd"),
            dockerd: Daemon::new(&folder, "dockerd"),
            kind,
            folder,
            cell,
            network,
            gpus,
        }
    }

    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// As the Docker command line and configuration files write it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn dockerd(&self) -> &Daemon {
        &self.dockerd
    }

    pub fn containerd(&self) -> &Daemon {
        &self.containerd
    }

    /// Where the engine keeps images and containers.
    pub fn data_root(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts what does not run, and returns when the engine answers.
    pub fn start(&self) -> Result<(), LabError> {
        fs::create_dir_all(&self.folder).map_err(at("make", &self.folder))?;
        if self.containerd.running().is_none() {
            let config = self.folder.join("containerd.toml");
            write(&config, &self.containerd_config())?;
            self.containerd.start(
                self.cell
                    .engine_command("containerd")
                    .arg("--config")
                    .arg(&config),
            )?;
        }
        let socket = self.containerd_socket();
        self.containerd.wait_until(&socket, READY_WITHIN, || {
            UnixStream::connect(&socket).is_ok()
        })?;
        if self.dockerd.running().is_none() {
            let config = self.folder.join("daemon.json");
            write(&config, &format!("{:#}\n", self.dockerd_config()))?;
            // One that was killed leaves its id behind, and the next refuses to start if the id is in use again.
            let _ = fs::remove_file(self.dockerd_pid_file());
            let mut dockerd = self.cell.engine_command("dockerd");
            if let Some(folder) = &self.gpus.hook_folder {
                dockerd.env("PATH", format!("{}:{PATH}", folder.display()));
            }
            dockerd.arg("--config-file").arg(&config);
            self.dockerd.start(&dockerd)?;
        }
        let socket = self.socket();
        self.dockerd
            .wait_until(&socket, READY_WITHIN, || self.answers())
    }

    /// Whether the engine answers a ping.
    pub fn answers(&self) -> bool {
        ping(&self.socket()).is_ok_and(|answer| answer.contains(" 200 "))
    }

    /// Stops the engine as a host's shutdown does: its containers are asked to end.
    pub fn stop(&self) -> Result<(), LabError> {
        self.dockerd.stop(STOP_WITHIN)?;
        self.containerd.stop(STOP_WITHIN)
    }

    /// `kill -9` of dockerd alone; containers and containerd live on.
    pub fn kill_dockerd(&self) -> Result<(), LabError> {
        self.dockerd.kill()
    }

    /// Ends it at once with all its containers, as when a host loses power.
    pub fn cut(&self) -> Result<(), LabError> {
        self.dockerd.kill()?;
        self.containerd.kill()?;
        self.cell.kill_containers()
    }

    /// The Docker command line, speaking to this engine.
    pub fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(self.endpoint())
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT");
        command
    }

    pub fn version(&self) -> Result<String, LabError> {
        let mut ask = self.docker();
        ask.args(["version", "--format", "{{.Server.Version}}"]);
        Ok(run(&mut ask)?.trim().to_owned())
    }

    fn containerd_socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    fn dockerd_pid_file(&self) -> PathBuf {
        self.folder.join("exec/docker.pid")
    }

    fn containerd_config(&self) -> String {
        let folder = self.folder.display();
        format!(
            "version = 2\n\
             root = \"{folder}/containerd\"\n\
             state = \"{folder}/containerd-state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\n\
             address = \"{socket}\"\n",
            socket = self.containerd_socket().display(),
        )
    }

    fn dockerd_config(&self) -> Value {
        let mut config = json!({
            "data-root": self.data_root(),
            "exec-root": self.folder.join("exec"),
            "pidfile": self.dockerd_pid_file(),
            "hosts": [self.endpoint()],
            "containerd": self.containerd_socket(),
            "cgroup-parent": self.cell.control_group(),
            // There may be no systemd to ask.
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "features": {
                "buildkit": true,
                "containerd-snapshotter": self.kind == EngineKind::TrixieContainerd,
            },
        });
        match &self.network {
            EngineNetwork::Own { registries } => {
                config["insecure-registries"] = json!([registries]);
            }
            EngineNetwork::Shared { bridge } => {
                config["bridge"] = json!(bridge);
                config["iptables"] = json!(false);
                config["ip-forward"] = json!(false);
                config["ip-masq"] = json!(false);
            }
        }
        if let Some(folder) = &self.gpus.cdi_folder {
            config["features"]["cdi"] = json!(true);
            config["cdi-spec-dirs"] = json!([folder]);
        }
        if let Some((program, arguments)) = &self.gpus.runtime {
            config["runtimes"] = json!({
                "nvidia": { "path": program, "runtimeArgs": arguments },
            });
        }
        config
    }
}

fn ping(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn write(path: &Path, text: &str) -> Result<(), LabError> {
    fs::write(path, text).map_err(at("write", path))
}
