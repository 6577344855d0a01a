//! What an engine means when it says no.
//!
//! Engines give a status and a sentence. The sentences differ between versions, and one status stands for many causes;
//! the words below were heard from 20.10, 26.1 and 28.x unless said otherwise.

use tfleet_proto::model::failure::Failure;

use super::error::INSTALL_RUNTIME;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    ImageMissing,
    ContainerMissing,
    /// The container is not in the state that the request needs.
    NotRunning,
    NameTaken,
    PortTaken,
    RuntimeMissing,
    /// The NVIDIA runtime refused to start the container.
    GpuRefused,
    BindSourceMissing,
    CommandMissing,
    UserMissing,
    DiskFull,
    /// An archive leaves out a layer that the engine does not have after all.
    LayerMissing,
    Other,
}

/// The only words of its message that do not depend on the versions of runc and engine are those after this.
const NVIDIA_CLI: &str = "nvidia-container-cli: ";

/// In the order in which they are tried: an inner cause is named at the end of a sentence that begins with an outer one.
const BY_WORDS: &[(&str, Refusal)] = &[
    (NVIDIA_CLI, Refusal::GpuRefused),
    ("port is already allocated", Refusal::PortTaken),
    ("address already in use", Refusal::PortTaken),
    (
        "bind source path does not exist",
        Refusal::BindSourceMissing,
    ),
    ("no space left on device", Refusal::DiskFull),
    ("Unknown runtime specified", Refusal::RuntimeMissing),
    ("unknown or invalid runtime name", Refusal::RuntimeMissing),
    ("could not select device driver", Refusal::RuntimeMissing),
    ("CDI device injection failed", Refusal::RuntimeMissing),
    ("executable file not found", Refusal::CommandMissing),
    ("unable to find user", Refusal::UserMissing),
    ("no matching entries in passwd file", Refusal::UserMissing),
    ("No such image", Refusal::ImageMissing),
    ("No such container", Refusal::ContainerMissing),
    ("layer not found", Refusal::LayerMissing),
    ("layer does not exist", Refusal::LayerMissing),
    ("is not running", Refusal::NotRunning),
    ("is already in use by container", Refusal::NameTaken),
];

impl Refusal {
    pub(super) fn of(status: u16, message: &str) -> Self {
        let known = BY_WORDS.iter().find(|(words, _)| message.contains(words));
        match (known, status) {
            (Some((_, refusal)), _) => *refusal,
            // containerd's words for a blob that a manifest names and the store lacks.
            (None, _) if message.contains("content digest") && message.contains("not found") => {
                Self::LayerMissing
            }
            // A layer's file that the archive leaves out and the graph driver turns out to need.
            (None, _)
                if message.contains("/blobs/sha256/")
                    && message.contains("no such file or directory") =>
            {
                Self::LayerMissing
            }
            (None, _) => Self::Other,
        }
    }

    /// `told` is the whole sentence, `message` the engine's part of it.
    pub(super) fn failure(self, told: String, message: &str) -> Failure {
        let (code, remedy) = match self {
            Self::ImageMissing => ("image-missing", Some("it is delivered again by itself")),
            Self::ContainerMissing => ("container-missing", None),
            Self::NotRunning => ("not-running", Some("start the container first")),
            Self::NameTaken => (
                "name-taken",
                Some("rename or remove that container, or run under another name"),
            ),
            Self::PortTaken => (
                "port-taken",
                Some("stop what listens there, or choose another port of the host"),
            ),
            Self::RuntimeMissing => ("runtime-missing", Some(INSTALL_RUNTIME)),
            Self::GpuRefused => return gpu_refused(message),
            Self::BindSourceMissing => (
                "bind-missing",
                Some("make the folder on the host, or bind another"),
            ),
            Self::CommandMissing => (
                "command-missing",
                Some("correct the command; it must exist in the image"),
            ),
            Self::UserMissing => (
                "user-missing",
                Some("use a number, or a user that exists in the image"),
            ),
            Self::DiskFull => (
                "disk-full",
                Some("free space where the engine keeps its data"),
            ),
            Self::LayerMissing => (
                "layer-missing",
                Some("the image is sent whole at the next try"),
            ),
            Self::Other => ("engine-refused", None),
        };
        let failure = Failure::new(code, told);
        match remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}

/// Its last words say what is wrong; what stands before them is how runc and the engine passed them on.
fn gpu_refused(message: &str) -> Failure {
    let tail = message
        .rfind(NVIDIA_CLI)
        .map_or(message, |at| &message[at..]);
    let tail = tail
        .trim_end_matches(": unknown")
        .trim_end_matches(": unknown.")
        .trim_end();
    let remedy = if tail.contains("requirement error") {
        "choose a variant for this host's driver (`tfleet plan` does), or update the driver"
    } else if tail.contains("driver/library version mismatch") {
        "reboot the host: its driver was updated and the old kernel module is still loaded"
    } else {
        "see `nvidia-smi` on the host: its driver or its GPUs do not work"
    };
    Failure::new(
        "gpu-refused",
        format!("the NVIDIA runtime refused the container: {tail}"),
    )
    .with_remedy(remedy)
}
