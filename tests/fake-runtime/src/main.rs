//! An imitation of NVIDIA's container runtime, for machines without a GPU.
//!
//! A wrapper around `runc`: when a container is created it gives it the fake NVML, `nvidia-smi` and stand-ins for the
//! device files of the GPUs that it asked for, and adds a prestart hook that refuses what the real one refuses, in its
//! words. What GPUs there are is in the file named by the first argument, `--gpu-file=PATH`.
//!
//! The rules are NVIDIA's (libnvidia-container and the container toolkit), written anew: it shares no code with tfleet,
//! or the tests would compare tfleet with itself.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use tfleet_fake_runtime::{HOOK, bundle, hook};

/// The program's name when the engine itself runs it as a hook, for `docker run --gpus`. The GPU file is then found beside
/// the folder that the program lies in.
const ENGINE_HOOK: &str = "nvidia-container-runtime-hook";

fn main() -> ExitCode {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return fail(&format!("cannot find this program: {error}")),
    };
    if own.file_name() == Some(ENGINE_HOOK.as_ref()) {
        let folder = own.parent().and_then(Path::parent);
        let gpu_file = folder.unwrap_or(Path::new("/")).join("gpu/gpu.toml");
        return prestart(&gpu_file, Devices::Missing);
    }
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let gpu_file = match arguments.first().and_then(|first| first.to_str()) {
        Some(first) if first.starts_with("--gpu-file=") => {
            PathBuf::from(&first["--gpu-file=".len()..])
        }
        _ => return fail("the first argument must be --gpu-file=PATH"),
    };
    arguments.remove(0);
    if arguments.first().is_some_and(|first| first == HOOK) {
        return prestart(&gpu_file, Devices::Present);
    }
    if arguments.iter().any(|argument| argument == "create") {
        let folder = bundle_folder(&arguments);
        if let Err(error) = bundle::prepare(&folder, &gpu_file) {
            return fail(&error.to_string());
        }
    }
    let error = Command::new("runc").args(arguments).exec();
    fail(&format!("cannot start runc: {error}"))
}

/// Whether the runtime has already put the devices into the container's configuration.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Devices {
    Present,
    Missing,
}

/// The runtime hands the container's state to the hook's standard input.
fn prestart(gpu_file: &Path, devices: Devices) -> ExitCode {
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return fail(&format!("cannot read the container's state: {error}"));
    }
    let done = hook::State::parse(&text).and_then(|state| {
        hook::check(&state, gpu_file)?;
        match devices {
            Devices::Present => Ok(()),
            Devices::Missing => hook::mount_devices(&state, gpu_file),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => fail(&format!("nvidia-container-cli: {refusal}")),
    }
}

/// `create --bundle PATH`; by default the working folder.
fn bundle_folder(arguments: &[OsString]) -> PathBuf {
    let mut words = arguments.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if word == "--bundle" || word == "-b" {
            return words
                .next()
                .map_or_else(PathBuf::new, |path| PathBuf::from(path.as_ref()));
        }
        if let Some(path) = word.strip_prefix("--bundle=") {
            return PathBuf::from(path);
        }
    }
    PathBuf::from(".")
}

#[expect(clippy::print_stderr, reason = "the engine shows it to the user")]
fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}
