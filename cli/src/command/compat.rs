//! `tfleet compat`: what one driver and one GPU can do. Needs no coordinator.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use tfleet_compat::{
    Answer, Architecture, Catalog, ComputeCapability, DriverVersion, Gpu, GpuClass, HostFacts,
    ImageGate, Requirement, RuntimeMode,
};

use super::Context;
use super::plan::catalog;
use crate::error::{Error, ExitStatus};
use crate::view::compat::Compat as CompatTable;
use crate::view::note;

const EXAMPLES: &str = "\
--output json prints the form that `tfleet schema compat` describes. The exit status is 0 whatever the answer is.

Examples:
  tfleet compat --driver 470.82.01 --gpu 'Tesla T4'
  tfleet compat --driver 535.129.03 --gpu h100 --output json
  tfleet compat --driver 545.23.06 --gpu 'RTX 4090' --image nvidia/cuda:12.4.1-base-ubuntu22.04";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Compat {
    /// The version of the NVIDIA driver, as nvidia-smi prints it
    #[arg(long, value_name = "VERSION", value_parser = str::parse::<DriverVersion>)]
    driver: DriverVersion,
    /// The GPU's name, as NVML, nvidia-smi or a person writes it
    #[arg(long, value_name = "NAME")]
    gpu: String,
    /// Its compute capability; without it, what the name says
    #[arg(long, value_name = "X.Y", value_parser = str::parse::<ComputeCapability>)]
    compute_capability: Option<ComputeCapability>,
    /// What it was sold for; without it, what the name says
    #[arg(long, value_name = "CLASS", value_parser = parse_class)]
    class: Option<GpuClass>,
    /// Its brand, as NVIDIA_REQUIRE_* spells it; without it, what the name says
    #[arg(long)]
    brand: Option<String>,
    /// The CPU's architecture
    #[arg(long, value_name = "ARCHITECTURE", default_value = "x86_64", value_parser = str::parse::<Architecture>)]
    arch: Architecture,
    /// The CPU's flags, separated by commas or spaces; without them AVX is assumed
    #[arg(long, value_name = "FLAGS")]
    cpu_flags: Option<String>,
    /// How NVIDIA's container runtime works: legacy, csv, cdi or jit-cdi; unknown counts as legacy
    #[arg(long, value_name = "MODE", default_value = "unknown", value_parser = str::parse::<RuntimeMode>)]
    runtime_mode: RuntimeMode,
    /// Also ask whether a container of this image starts: nvidia/cuda:12.4.1-base-ubuntu22.04
    #[arg(long, value_name = "REFERENCE", conflicts_with = "require")]
    image: Option<String>,
    /// Also ask whether a container starts whose image requires this: 'cuda>=12.4 brand=tesla,driver>=470,driver<471'
    #[arg(long, value_name = "REQUIREMENT", value_parser = str::parse::<Requirement>)]
    require: Option<Requirement>,
    /// Facts beside the built-in ones; may be given several times
    #[arg(long, value_name = "FILE")]
    catalog: Vec<PathBuf>,
}

impl Compat {
    pub(super) fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let catalog = catalog(&self.catalog)?;
        let gate = self.gate(&catalog)?;
        let host = self.host();
        let answer = Answer::of(&catalog, &host, gate.as_ref())
            .map_err(|refusal| Error::Usage(format!("{refusal}; {}", refusal.remedy)))?;
        context.output.print(&CompatTable { answer })?;
        Ok(ExitStatus::Ok)
    }

    /// What the image requires that was asked about.
    fn gate(&self, catalog: &Catalog) -> Result<Option<ImageGate>, Error> {
        if let Some(requirement) = &self.require {
            return Ok(Some(ImageGate::requiring(requirement.clone())));
        }
        let Some(reference) = &self.image else {
            return Ok(None);
        };
        let tag = catalog
            .image(reference)
            .map_err(|error| Error::Usage(error.to_string()))?;
        if let Some(warning) = tag.image.warning() {
            note(&format!("{reference}: {warning}"));
        }
        let gate = tag.image.gate(catalog, self.arch);
        gate.map(Some).ok_or_else(|| {
            Error::Usage(format!(
                "what {reference} requires on {} is not known; give it with --require (docker image inspect shows it as \
                 NVIDIA_REQUIRE_CUDA)",
                self.arch
            ))
        })
    }

    fn host(self) -> HostFacts {
        let mut gpu = Gpu::named(self.gpu);
        gpu.compute_capability = self.compute_capability;
        gpu.class = self.class;
        gpu.brand = self.brand;
        let mut host = HostFacts::new("this");
        host.driver_version = Some(self.driver);
        host.architecture = self.arch;
        host.cpu_flags = self.cpu_flags.map(|flags| {
            let flags = flags.split([',', ' ']).filter(|flag| !flag.is_empty());
            flags.map(str::to_owned).collect::<BTreeSet<_>>()
        });
        host.runtime_mode = self.runtime_mode;
        host.gpus.push(gpu);
        host
    }
}

fn parse_class(text: &str) -> Result<GpuClass, String> {
    serde_json::from_value(text.into())
        .map_err(|_| format!("`{text}` is not a class; there are datacenter, workstation, consumer, desktop and jetson"))
}
