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
use super::lock::{Group, GroupKind, Lock};
use super::sources::Sources;
use crate::artifact::FIXED_TIME_SECONDS;

/// Where the image's Python lives, with TensorFlow and everything else that pip would install.
const ENVIRONMENT: &str = "/opt/tfleet";

const BLOCK: usize = 512;

const INSTALL: &str = include_str!("context/install.sh");

/// A tar file: pieces in memory, and the one large file on disk.
#[derive(Debug)]
pub struct Context {
    head: Bytes,
    /// Padded to whole blocks by `tail`.
    program: PathBuf,
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
        let program = tokio::fs::File::open(&self.program)
            .await
            .map_err(BuildError::io("read", &self.program))?;
        let program = ReaderStream::with_capacity(program, 256 << 10);
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
    let mut text = format!("FROM {base_reference}\nENV PATH={ENVIRONMENT}/bin:$PATH\n");
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
    for (name, value) in &lock.environment {
        let _ = writeln!(text, "ENV {name}={}", dockerfile_word(name, value)?);
    }
    for port in &lock.ports {
        let _ = writeln!(text, "EXPOSE {port}");
    }
    Ok(text)
}

/// The `lib` folders of the CUDA wheels: `nvidia-cuda-runtime-cu11` lies in `nvidia/cuda_runtime`.
fn library_path(lock: &Lock) -> String {
    let folder = |name: &str| {
        let name = name.strip_prefix("nvidia-")?;
        let (name, _) = name.rsplit_once("-cu")?;
        let package = name.replace('-', "_");
        Some(format!(
            "{ENVIRONMENT}/lib/python{}/site-packages/nvidia/{package}/lib",
            lock.python
        ))
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
            program: program.to_owned(),
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
