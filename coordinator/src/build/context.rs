//! What BuildKit is given: a Dockerfile and the files that its steps mount.
//!
//! Indexes, proxy and CA reach the install steps as mounted files, on a memory file system over `/run`: not as copies,
//! not as build arguments, and not even an empty mount point stays in a layer.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tar::{EntryType, Header};
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

const INSTALL: &str = include_str!("context/install.sh");

/// A tar file: pieces in memory, and the one large file on disk.
#[derive(Debug)]
pub struct Context {
    head: Bytes,
    /// Padded to whole blocks by `tail`.
    program: Option<PathBuf>,
    tail: Bytes,
}

impl Context {
    /// The tar file's bytes in order, the program read while it is sent.
    ///
    /// # Errors
    /// If the program cannot be opened.
    pub async fn stream(
        self,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, BuildError> {
        let program = match &self.program {
            Some(path) => {
                let file = tokio::fs::File::open(path).await;
                let file = file.map_err(BuildError::io("read", path))?;
                Some(ReaderStream::with_capacity(file, 256 << 10))
            }
            None => None,
        };
        let program = stream::iter(program).flatten();
        let (head, tail) = (stream::iter([Ok(self.head)]), stream::iter([Ok(self.tail)]));
        Ok(head.chain(program).chain(tail))
    }
}

/// The build's context.
///
/// # Errors
/// If a file of it cannot be read, or a value cannot stand in a Dockerfile.
pub fn context(
    lock: &Lock,
    base_reference: &str,
    survey: &Survey,
    needs_library_path: bool,
    sources: &Sources,
    uv: &Path,
) -> Result<Context, BuildError> {
    let python = survey
        .pythons
        .get(&lock.python)
        .ok_or_else(|| BuildError::Base {
            base: base_reference.to_owned(),
            why: format!("has no Python {}", lock.python),
        })?;
    let mut archive = Archive::default();
    archive.put(
        "Dockerfile",
        0o644,
        dockerfile(lock, base_reference, python, needs_library_path)?.as_bytes(),
    );
    archive.put("tools/install", 0o755, INSTALL.as_bytes());
    if let Some(path) = &sources.ca_bundle {
        archive.put(
            "tools/ca.crt",
            0o644,
            &std::fs::read(path).map_err(BuildError::io("read", path))?,
        );
    }
    for (number, index) in sources.indexes.iter().enumerate() {
        let ca_bundle = sources
            .ca_bundle
            .as_ref()
            .map(|_| Path::new("/run/tfleet/tools/ca.crt"));
        let mut text = String::new();
        for (name, value) in index.environment(sources, ca_bundle) {
            let _ = writeln!(text, "export {name}={}", shell_word(&value));
        }
        let _ = writeln!(text, "shown={}", shell_word(&index.shown()));
        archive.put(&format!("tools/index.{number:03}"), 0o600, text.as_bytes());
    }
    for group in &lock.groups {
        archive.put(
            &format!("groups/{}", word(group.kind)),
            0o644,
            group.requirements().as_bytes(),
        );
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
    let size = std::fs::metadata(uv)
        .map_err(BuildError::io("read", uv))?
        .len();
    Ok(archive.with_program("tools/uv", uv, size))
}

fn dockerfile(
    lock: &Lock,
    base_reference: &str,
    python: &str,
    needs_library_path: bool,
) -> Result<String, BuildError> {
    let path: String = lock
        .finish
        .path
        .iter()
        .map(|folder| format!("{folder}:"))
        .collect();
    let mut text = format!("FROM {base_reference}\nENV PATH={ENVIRONMENT}/bin:{path}$PATH\n");
    if needs_library_path {
        let _ = writeln!(text, "ENV LD_LIBRARY_PATH={}", library_path(lock));
    }
    for group in &lock.groups {
        let kind = word(group.kind);
        let _ = writeln!(
            text,
            "RUN --mount=type=tmpfs,target=/run \
             --mount=type=bind,source=tools,target=/run/tfleet/tools \
             --mount=type=bind,source=groups/{kind},target=/run/tfleet/requirements.txt \
             /run/tfleet/tools/install {kind} {python} {ENVIRONMENT}"
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
    archive.0.resize(archive.0.len() + 2 * BLOCK, 0);
    Ok(Context {
        head: archive.0.into(),
        program: None,
        tail: Bytes::new(),
    })
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

/// The part of the tar file that is in memory.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn put(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.0
            .extend_from_slice(header(path, mode, content.len() as u64).as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// Ends the archive with a file that stays on disk.
    fn with_program(mut self, path: &str, program: &Path, size: u64) -> Context {
        self.0
            .extend_from_slice(header(path, 0o755, size).as_bytes());
        let beyond = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        let padding = if beyond == 0 { 0 } else { BLOCK - beyond };
        let tail = vec![0; padding + 2 * BLOCK];
        Context {
            head: self.0.into(),
            program: Some(program.to_owned()),
            tail: tail.into(),
        }
    }
}

fn header(path: &str, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(FIXED_TIME_SECONDS);
    header.set_size(size);
    header.set_cksum();
    header
}

#[cfg(test)]
mod tests;
