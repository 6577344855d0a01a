//! The flags that say how a plan is made.

use std::path::PathBuf;

use clap::Args;
use tfleet_compat::{MixedGpus, Policy, Preference, PtxReading};
use tfleet_proto::wire;

use crate::error::Error;

/// What operators decide beside the release. A flag wins over the file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub struct PolicyOptions {
    /// A TOML file with any of preference = "newest", "uniform" or a version; rebalance, cpu_fallback and
    /// forward_compatibility = true; mixed_gpus = "all" or "some"; intermediate_code = "strict" or "lenient"
    #[arg(long = "policy", value_name = "FILE")]
    file: Option<PathBuf>,
    /// newest (for each host), uniform (as few versions as serve all), or a version to prefer wherever it runs
    #[arg(long, value_name = "WHICH", value_parser = str::parse::<Preference>)]
    prefer: Option<Preference>,
    /// Move hosts to a better variant although the one they have still serves them
    #[arg(long)]
    rebalance: bool,
    /// Give hosts whose GPUs cannot be served a variant for the CPU
    #[arg(long)]
    cpu_fallback: bool,
    /// Allow cuda-compat libraries in images, for data-centre GPUs on drivers that are too old
    #[arg(long)]
    forward: bool,
    /// Serve a host with several kinds of GPU also where only some of them can be served
    #[arg(long)]
    some_gpus: bool,
    /// Let the specifier allow more than one TensorFlow major version
    #[arg(long)]
    pub(super) span_majors: bool,
}

impl PolicyOptions {
    /// The file's policy with the flags over it.
    ///
    /// # Errors
    /// If the file cannot be read, or is no policy.
    pub fn policy(&self) -> Result<Policy, Error> {
        let mut policy = match &self.file {
            None => Policy::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
                toml::from_str(&text).map_err(|error| {
                    Error::Usage(format!("{} is not a policy: {error}", path.display()))
                })?
            }
        };
        if let Some(preference) = &self.prefer {
            policy.preference.clone_from(preference);
        }
        policy.rebalance |= self.rebalance;
        policy.cpu_fallback |= self.cpu_fallback;
        policy.forward_compatibility |= self.forward;
        if self.some_gpus {
            policy.mixed_gpus = MixedGpus::Some;
        }
        Ok(policy)
    }

    pub(super) fn wire(&self) -> Result<wire::Policy, Error> {
        let policy = self.policy()?;
        Ok(wire::Policy {
            preference: policy.preference.to_string(),
            rebalance: policy.rebalance,
            cpu_fallback: policy.cpu_fallback,
            forward_compatibility: policy.forward_compatibility,
            serves_some_gpus: policy.mixed_gpus == MixedGpus::Some,
            trusts_intermediate_code: policy.intermediate_code == PtxReading::Lenient,
        })
    }
}
