//! What BuildKit is given: a Dockerfile and the files that its steps mount.
//!
//! Wheels and the installer reach the install steps as mounted files, on a memory file system over `/run`: not as copies,
//! and not even an empty mount point stays in a layer. No step needs a package index, so that nothing of one, of a proxy
//! or of a CA is ever sent to an engine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use tar::{EntryType, Header};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::BuildError;
use super::base::Survey;
use super::dockerfile::Dockerfile;
use super::flavour::{START, START_PROGRAM};
use super::lock::{Group, GroupKind, Lock, cuda_folder};
use super::sources::Sources;
use crate::artifact::FIXED_TIME_SECONDS;

/// Where the image's Python lives, with TensorFlow and everything else that pip would install.
const ENVIRONMENT: &str = "/opt/tfleet";

/// Where a Dockerfile of the operator's may mount what leads to the site's package sources.
const SITE: &str = "/run/site";

const BLOCK: usize = 512;
const FILE_PIECE_BYTES: usize = 256 << 10;

const INSTALL: &str = include_str!("context/install.sh");

/// A tar file: pieces in memory, and large files on disk.
#[derive(Debug)]
pub struct Context {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Memory(Bytes),
    /// So many bytes of a file; what follows pads them to whole blocks.
    File(PathBuf, u64),
}

/// A file of the context that stays on disk until it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    pub name: String,
    pub path: PathBuf,
    pub size_bytes: u64,
}

/// Images of the engine that a build takes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stages {
    pub base: String,
    /// The unpacked compat package, where the lock has one.
    pub compat: Option<String>,
}

/// What the steps install, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplies {
    /// By the group that installs them.
    pub wheels: BTreeMap<GroupKind, Vec<OnDisk>>,
    pub uv: OnDisk,
}

impl Context {
    /// The tar file's bytes in order, the files read while they are sent.
    pub fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::iter(self.parts).then(Part::stream).flatten()
    }
}

impl Part {
    async fn stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        match self {
            Self::Memory(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Self::File(path, size_bytes) => match tokio::fs::File::open(&path).await {
                Ok(file) => {
                    ReaderStream::with_capacity(file.take(size_bytes), FILE_PIECE_BYTES).boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            },
        }
    }
}

/// The build's context.
///
/// # Errors
/// If a value cannot stand in a Dockerfile.
pub fn context(
    lock: &Lock,
    stages: &Stages,
    survey: &Survey,
    supplies: &Supplies,
) -> Result<Context, BuildError> {
    let python = survey
        .pythons
        .get(&lock.python)
        .ok_or_else(|| BuildError::Base {
            base: stages.base.clone(),
            why: format!("has no Python {}", lock.python),
        })?;
    let mut archive = Archive::default();
    archive.put(
        "Dockerfile",
        0o644,
        dockerfile(lock, stages, python)?.as_bytes(),
    );
    archive.put("tools/install", 0o755, INSTALL.as_bytes());
    archive.put_file("tools", 0o755, &supplies.uv);
    for group in &lock.groups {
        let kind = word(group.kind);
        archive.put(
            &format!("groups/{kind}"),
            0o644,
            group.requirements().as_bytes(),
        );
        let wheels = supplies.wheels.get(&group.kind);
        for wheel in wheels.into_iter().flatten() {
            archive.put_file(&format!("wheels/{kind}"), 0o644, wheel);
        }
    }
    if let Some(bashrc) = &lock.bashrc {
        archive.put("bashrc", 0o644, bashrc.as_bytes());
    }
    if lock.finish.start.is_some() {
        archive.put("start", 0o755, START_PROGRAM.as_bytes());
    }
    if let Some(keys) = &lock.finish.authorized_keys {
        archive.put("authorized_keys", 0o600, keys.as_bytes());
    }
    Ok(archive.finish())
}

fn dockerfile(lock: &Lock, stages: &Stages, python: &str) -> Result<String, BuildError> {
    let path: String = lock
        .finish
        .path
        .iter()
        .map(|folder| format!("{folder}:"))
        .collect();
    let mut text = format!(
        "FROM {}\nENV PATH={ENVIRONMENT}/bin:{path}$PATH\n",
        stages.base
    );
    if lock.library_path {
        let _ = writeln!(text, "ENV LD_LIBRARY_PATH={}", library_path(lock));
    }
    if let Some(folder) = compiler(lock) {
        let _ = writeln!(text, "ENV XLA_FLAGS=--xla_gpu_cuda_data_dir={folder}");
    }
    for group in &lock.groups {
        let kind = word(group.kind);
        let _ = writeln!(
            text,
            "RUN --mount=type=tmpfs,target=/run \
             --mount=type=bind,source=tools,target=/run/tfleet/tools \
             --mount=type=bind,source=groups/{kind},target=/run/tfleet/requirements.txt \
             --mount=type=bind,source=wheels/{kind},target=/run/tfleet/wheels \
             /run/tfleet/tools/install {kind} {python} {ENVIRONMENT}"
        );
    }
    if let (Some(compat), Some(reference)) = (&lock.compat, &stages.compat) {
        // Before the driver's own, which the runtime puts where the loader looks by itself.
        let folder = &compat.folder;
        let _ = writeln!(
            text,
            "COPY --from={reference} {folder} {folder}\n\
             ENV LD_LIBRARY_PATH={folder}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
        );
    }
    if lock.bashrc.is_some() {
        text.push_str("COPY bashrc /root/.bashrc\n");
    }
    if lock.finish.start.is_some() {
        let _ = writeln!(text, "COPY start {START}");
    }
    if lock.finish.authorized_keys.is_some() {
        text.push_str("COPY authorized_keys /root/.ssh/authorized_keys\n");
    }
    for (name, value) in &lock.environment {
        let _ = writeln!(text, "ENV {name}={}", dockerfile_word(name, value)?);
    }
    for port in &lock.ports {
        let _ = writeln!(text, "EXPOSE {port}");
    }
    if let Some(start) = &lock.finish.start {
        let _ = writeln!(text, "CMD {}", serde_json::json!(start));
    }
    Ok(text)
}

/// Below it lies each CUDA wheel in a folder of its own, [`cuda_folder`].
pub fn cuda_wheels(python: &str) -> String {
    format!("{ENVIRONMENT}/lib/python{python}/site-packages/nvidia")
}

/// The interpreter with everything that the lock installs.
pub fn interpreter() -> String {
    format!("{ENVIRONMENT}/bin/python")
}

/// The context of the operator's Dockerfile: nothing but itself, and what leads to the site's package sources, for steps
/// that mount it. Of several indexes that is the first.
///
/// # Errors
/// If the CA bundle cannot be read.
pub fn own_context(dockerfile: &Dockerfile, sources: &Sources) -> Result<Context, BuildError> {
    let mut archive = Archive::default();
    archive.put("Dockerfile", 0o644, dockerfile.text().as_bytes());
    let ca_bundle = format!("{SITE}/ca.crt");
    if let Some(path) = &sources.ca_bundle {
        let bundle = std::fs::read(path).map_err(BuildError::io("read", path))?;
        archive.put("site/ca.crt", 0o644, &bundle);
    }
    let mut text = String::new();
    for (name, value) in sources.step_environment(Path::new(&ca_bundle)) {
        let _ = writeln!(text, "export {name}={}", shell_word(&value));
    }
    archive.put("site/environment", 0o600, text.as_bytes());
    Ok(archive.finish())
}

/// The `lib` folders of the CUDA wheels: `nvidia-cuda-runtime-cu11` lies in `nvidia/cuda_runtime`.
fn library_path(lock: &Lock) -> String {
    let folder = |name: &str| {
        let package = cuda_folder(name)?;
        Some(format!("{}/{package}/lib", cuda_wheels(&lock.python)))
    };
    let cuda = lock
        .groups
        .iter()
        .filter(|group| group.kind == GroupKind::Cuda);
    cuda.flat_map(Group::names)
        .filter_map(folder)
        .collect::<Vec<_>>()
        .join(":")
}

/// Where the wheel of the CUDA compiler lies, with the assembler and the device library that XLA needs for GPUs. TensorFlow
/// up to 2.13 does not look there by itself, and 2.14 to 2.16 look at times in a wrong folder, which depends on what stands
/// behind a string in memory (functions of 13 releases called; <https://github.com/tensorflow/tensorflow/issues/63027>).
fn compiler(lock: &Lock) -> Option<String> {
    let mut names = lock.groups.iter().flat_map(Group::names);
    let wheel = names.find(|name| name.starts_with("nvidia-cuda-nvcc-cu"))?;
    let package = cuda_folder(wheel)?;
    Some(format!("{}/{package}", cuda_wheels(&lock.python)))
}

/// The group's word in file names and in the steps' names.
pub fn word(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Cuda => "cuda",
        GroupKind::Tensorflow => "tensorflow",
        GroupKind::Extras => "extras",
    }
}

fn shell_word(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn dockerfile_word(name: &str, value: &str) -> Result<String, BuildError> {
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit());
    if !is_name || value.contains(['\n', '\r', '\0']) {
        return Err(BuildError::Format {
            file: format!("the environment variable {name:?}"),
            why: "a name has letters, digits and underscores, a value is one line".to_owned(),
        });
    }
    Ok(format!(
        "\"{}\"",
        value
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('$', r"\$")
    ))
}

/// The tar file as it grows.
#[derive(Default)]
struct Archive {
    parts: Vec<Part>,
    /// What follows the last part.
    tail: Vec<u8>,
}

impl Archive {
    fn put(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.put_header(path, mode, content.len() as u64);
        self.tail.extend_from_slice(content);
        self.pad(content.len() as u64);
    }

    fn put_file(&mut self, folder: &str, mode: u32, file: &OnDisk) {
        let OnDisk {
            name,
            path,
            size_bytes,
        } = file;
        self.put_header(&format!("{folder}/{name}"), mode, *size_bytes);
        let before = std::mem::take(&mut self.tail);
        self.parts.push(Part::Memory(before.into()));
        self.parts.push(Part::File(path.clone(), *size_bytes));
        self.pad(*size_bytes);
    }

    #[expect(
        clippy::expect_used,
        reason = "writing to memory cannot fail, and paths here are relative and without NUL"
    )]
    fn put_header(&mut self, path: &str, mode: u32, size_bytes: u64) {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(FIXED_TIME_SECONDS);
        header.set_size(size_bytes);
        // Without content: a wheel's name may be longer than the field, and the library knows what to do then.
        let mut builder = tar::Builder::new(&mut self.tail);
        builder
            .append_data(&mut header, path, io::empty())
            .expect("a header in memory");
        // Dropping it would end the archive.
        std::mem::forget(builder);
    }

    fn pad(&mut self, written_bytes: u64) {
        let beyond = usize::try_from(written_bytes % BLOCK as u64).unwrap_or_default();
        let padding = if beyond == 0 { 0 } else { BLOCK - beyond };
        self.tail.resize(self.tail.len() + padding, 0);
    }

    fn finish(mut self) -> Context {
        self.tail.resize(self.tail.len() + 2 * BLOCK, 0);
        self.parts.push(Part::Memory(self.tail.into()));
        Context { parts: self.parts }
    }
}

#[cfg(test)]
mod tests;
