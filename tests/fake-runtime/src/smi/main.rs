//! An imitation of `nvidia-smi`, as far as programs ask it.
//!
//! It answers `-L`, `--query-gpu` and `--query-compute-apps` as CSV, and a short table, from the GPU file. It ends as the
//! real one does: 9 without a driver, 18 when library and kernel module differ, 15 when a GPU is lost, 2 for a field that
//! this driver's `nvidia-smi` did not know, which fails the whole query.

mod query;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tfleet_fake_gpu::Machine;

use query::{QueryError, Row};

#[derive(Parser)]
#[command(name = "nvidia-smi")]
struct Arguments {
    /// List the GPUs.
    #[arg(short = 'L', long)]
    list_gpus: bool,
    /// Fields of each GPU.
    #[arg(long, value_delimiter = ',')]
    query_gpu: Vec<String>,
    /// Fields of each process that computes.
    #[arg(long, value_delimiter = ',')]
    query_compute_apps: Vec<String>,
    /// `csv`, and after it `noheader` and `nounits`.
    #[arg(long, value_delimiter = ',')]
    format: Vec<String>,
    #[arg(long, hide = true, env = "TFLEET_FAKE_GPU_FILE")]
    gpu_file: Option<PathBuf>,
}

const NO_DRIVER: &str = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. \
    Make sure that the latest NVIDIA driver is installed and running.\n";
const MISMATCH: &str = "Failed to initialize NVML: Driver/library version mismatch\n";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let machine = match &arguments.gpu_file {
        Some(file) => Machine::read(file),
        None => Ok(Machine::default()),
    };
    match machine {
        Err(error) => end(9, &format!("{error}\n")),
        Ok(machine) if machine.driver_version.is_none() => end(9, NO_DRIVER),
        Ok(machine) if machine.is_mismatched() => end(18, MISMATCH),
        Ok(machine) if machine.gpus.iter().any(|gpu| gpu.lost) => end(15, &lost(&machine)),
        Ok(machine) => match answer(&arguments, &machine) {
            Ok(text) => end(0, &text),
            Err(error) => end(2, &format!("{error}\n")),
        },
    }
}

/// One GPU that fell off the bus fails every query.
fn lost(machine: &Machine) -> String {
    let lost = machine.gpus.iter().enumerate().find(|(_, gpu)| gpu.lost);
    let bus = lost.map_or_else(String::new, |(index, gpu)| gpu.pci_bus_id(index));
    format!(
        "Unable to determine the device handle for GPU {bus}: GPU is lost.  Reboot the system to recover this GPU\n"
    )
}

fn answer(arguments: &Arguments, machine: &Machine) -> Result<String, QueryError> {
    if arguments.list_gpus {
        let gpus = machine.gpus.iter().enumerate();
        return Ok(gpus
            .map(|(index, gpu)| format!("GPU {index}: {} (UUID: {})\n", gpu.name, gpu.uuid(index)))
            .collect());
    }
    let (fields, rows): (_, Vec<Row<'_>>) = if !arguments.query_gpu.is_empty() {
        (&arguments.query_gpu, Row::gpus(machine).collect())
    } else if !arguments.query_compute_apps.is_empty() {
        (
            &arguments.query_compute_apps,
            Row::processes(machine).collect(),
        )
    } else {
        return Ok(table(machine));
    };
    let asked = |word: &str| arguments.format.iter().any(|format| format == word);
    if !asked("csv") {
        return Err(QueryError::Format);
    }
    query::csv(
        machine,
        fields,
        &rows,
        !asked("noheader"),
        !asked("nounits"),
    )
}

fn table(machine: &Machine) -> String {
    let driver = machine.driver_version.as_deref().unwrap_or_default();
    let cuda = machine.cuda_version.map(|cuda| cuda.to_string());
    let cuda = cuda.unwrap_or_else(|| "N/A".to_owned());
    let mut text =
        format!("| NVIDIA-SMI {driver}   Driver Version: {driver}   CUDA Version: {cuda} |\n");
    for (index, gpu) in machine.gpus.iter().enumerate() {
        let temperature = gpu
            .temperature_c
            .map_or("N/A".to_owned(), |c| format!("{c}C"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {index}  {}  {temperature}  {}MiB / {}MiB |",
            gpu.name,
            gpu.used_mib(),
            gpu.memory_mib,
        );
    }
    text
}

#[expect(
    clippy::print_stdout,
    reason = "nvidia-smi says everything on standard output, errors too"
)]
fn end(code: u8, text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::from(code)
}
