//! `--query-gpu` and `--query-compute-apps`: fields of rows as CSV.

use tfleet_fake_gpu::{Gpu, Machine, Process};

/// A line of the answer.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    index: usize,
    gpu: &'a Gpu,
    process: Option<&'a Process>,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("Field \"{0}\" is not a valid field to query.\n")]
    Field(String),
    #[error("\"--format=\" switch is missing. It is mandatory when used with query switches.\n")]
    Format,
}

/// A field's value, with the unit that `nounits` leaves out.
enum Value {
    Text(String),
    Measured(u64, &'static str),
    NotAvailable,
}

impl<'a> Row<'a> {
    pub fn gpus(machine: &'a Machine) -> impl Iterator<Item = Self> {
        machine.gpus.iter().enumerate().map(|(index, gpu)| Self {
            index,
            gpu,
            process: None,
        })
    }

    pub fn processes(machine: &'a Machine) -> impl Iterator<Item = Self> {
        Self::gpus(machine).flat_map(|row| {
            row.gpu.processes.iter().map(move |process| Self {
                process: Some(process),
                ..row
            })
        })
    }
}

pub fn csv(
    machine: &Machine,
    fields: &[String],
    rows: &[Row<'_>],
    header: bool,
    units: bool,
) -> Result<String, QueryError> {
    let mut text = String::new();
    let names: Vec<_> = fields.iter().map(|field| field.trim()).collect();
    for name in &names {
        known(machine, name)?;
    }
    if header {
        text += &(names.join(", ") + "\n");
    }
    for row in rows {
        let values = names.iter().map(|name| {
            Ok(match value(machine, *row, name)? {
                Value::Text(text) => text,
                Value::Measured(number, unit) if units => format!("{number} {unit}"),
                Value::Measured(number, _) => number.to_string(),
                Value::NotAvailable => "[N/A]".to_owned(),
            })
        });
        let values = values.collect::<Result<Vec<_>, QueryError>>()?;
        text += &(values.join(", ") + "\n");
    }
    Ok(text)
}

/// `compute_cap` came after driver 470, `cuda_version` with 418.
fn known(machine: &Machine, name: &str) -> Result<(), QueryError> {
    let branch = machine
        .driver_version
        .as_deref()
        .and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    let since = match name {
        "compute_cap" => 471,
        "cuda_version" => 418,
        _ => 0,
    };
    if branch.is_some_and(|branch| branch >= since) {
        return Ok(());
    }
    Err(QueryError::Field(name.to_owned()))
}

fn value(machine: &Machine, row: Row<'_>, name: &str) -> Result<Value, QueryError> {
    let Row {
        index,
        gpu,
        process,
    } = row;
    let text = |text: &str| Value::Text(text.to_owned());
    let number = |number: Option<u32>, unit| {
        number.map_or(Value::NotAvailable, |number| {
            Value::Measured(number.into(), unit)
        })
    };
    let switch = |switch: Option<bool>| match switch {
        Some(true) => text("Enabled"),
        Some(false) => text("Disabled"),
        None => Value::NotAvailable,
    };
    Ok(match (name, process) {
        ("pid", Some(process)) => Value::Text(process.pid.to_string()),
        ("used_memory" | "used_gpu_memory", Some(process)) => {
            Value::Measured(process.memory_mib, "MiB")
        }
        ("process_name", Some(_)) => text("[Not Found]"),
        ("gpu_uuid", Some(_)) | ("uuid" | "gpu_uuid", None) => Value::Text(gpu.uuid(index)),
        ("index", None) => Value::Text(index.to_string()),
        ("count", None) => Value::Text(machine.gpus.len().to_string()),
        ("name" | "gpu_name", _) => text(&gpu.name),
        ("driver_version", None) => text(machine.driver_version.as_deref().unwrap_or_default()),
        ("cuda_version", None) => match machine.cuda_version {
            Some(cuda) => Value::Text(cuda.to_string()),
            None => Value::NotAvailable,
        },
        ("compute_cap", None) => Value::Text(gpu.compute_capability.to_string()),
        ("pci.bus_id" | "gpu_bus_id", _) => Value::Text(gpu.pci_bus_id(index)),
        ("memory.total", None) => Value::Measured(gpu.memory_mib, "MiB"),
        ("memory.used", None) => Value::Measured(gpu.used_mib(), "MiB"),
        ("memory.free", None) => Value::Measured(gpu.memory_mib - gpu.used_mib(), "MiB"),
        // The only temperature that is printed without its unit.
        ("temperature.gpu", None) => match gpu.temperature_c {
            Some(celsius) => Value::Text(celsius.to_string()),
            None => Value::NotAvailable,
        },
        ("utilization.gpu", None) => number(gpu.utilisation_percent, "%"),
        ("ecc.mode.current" | "ecc.mode.pending", None) => switch(gpu.ecc),
        ("mig.mode.current" | "mig.mode.pending", None) => switch(gpu.mig),
        _ => return Err(QueryError::Field(name.to_owned())),
    })
}
