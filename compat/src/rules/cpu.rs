//! What the CPU must be and have.

use super::{FROM_HOST, Finding, Refusal, Rule};
use crate::catalog::TensorflowRelease;
use crate::host::{Architecture, HostFacts};

/// An image runs on the architecture it was made for.
///
/// # Errors
/// If the host has another one.
pub fn architecture(host: &HostFacts, image: Architecture) -> Result<Finding, Refusal> {
    if host.architecture == image {
        return Ok(Finding::new(
            Rule::Architecture,
            format!("host and image are {image}"),
            FROM_HOST,
        ));
    }
    Err(Refusal::new(
        Rule::Architecture,
        format!(
            "the image is for {image}, the host is {}",
            host.architecture
        ),
        format!("use a variant for {}", host.architecture),
        FROM_HOST,
    ))
}

/// TensorFlow's x86_64 wheels are compiled with AVX since 1.6; a CPU without it dies with an illegal instruction.
/// A host that does not say its flags passes.
///
/// # Errors
/// If the host's flags lack AVX and the wheel needs it.
pub fn cpu_features(host: &HostFacts, release: &TensorflowRelease) -> Result<Finding, Refusal> {
    const SOURCE: &str = "https://github.com/tensorflow/tensorflow/issues/17411";
    if host.architecture != Architecture::X86_64 || !release.avx {
        let fact = format!(
            "TensorFlow {} asks nothing special of this CPU",
            release.minor
        );
        return Ok(Finding::new(Rule::CpuFeatures, fact, SOURCE));
    }
    match &host.cpu_flags {
        Some(flags) if !flags.contains("avx") => Err(Refusal::new(
            Rule::CpuFeatures,
            format!(
                "the CPU has no AVX, and TensorFlow {} is compiled with it: it would die of SIGILL",
                release.minor
            ),
            "move the work to a host whose CPU has AVX (in a virtual machine: expose the host's CPU), or choose \
             TensorFlow older than 1.6",
            SOURCE,
        )),
        Some(_) => Ok(Finding::new(Rule::CpuFeatures, "the CPU has AVX", SOURCE)),
        None => Ok(Finding::new(
            Rule::CpuFeatures,
            "the host does not say its CPU's flags; AVX is assumed",
            SOURCE,
        )),
    }
}
