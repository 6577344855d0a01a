//! Hosts and releases in a line each, and a plan as text.

use std::fmt::Write;

use tfleet_compat::{Gpu, HostFacts, Plan, ReleaseSpec};

/// A host without driver and GPU.
pub fn host(name: &str) -> HostFacts {
    HostFacts::new(name)
}

/// A host with a driver and GPUs that are known by name only.
pub fn gpu_host(name: &str, driver: &str, gpus: &[&str]) -> HostFacts {
    let mut host = HostFacts::new(name);
    host.driver_version = Some(driver.parse().unwrap());
    host.gpus = gpus.iter().map(|name| Gpu::named(*name)).collect();
    host
}

/// The release `train:v1`.
pub fn spec(constraint: &str) -> ReleaseSpec {
    ReleaseSpec::new("train:v1", constraint.parse().unwrap())
}

/// A plan as a person would want to read it.
pub fn render(plan: &Plan) -> String {
    let mut text = format!("release {}\n", plan.release);
    for variant in &plan.variants {
        let recipe = &variant.recipe;
        let cuda = recipe.cuda.as_ref().map_or_else(
            || "cpu".to_owned(),
            |stack| {
                format!(
                    "CUDA {} (built for {}), cuDNN {}",
                    stack.installed, stack.built_for, stack.cudnn
                )
            },
        );
        writeln!(text, "\nvariant {}", recipe.id).unwrap();
        writeln!(
            text,
            "  {cuda}, Python {}, {}, {}",
            recipe.python, recipe.base, recipe.architecture
        )
        .unwrap();
        writeln!(text, "  {}", recipe.requirements.join(" ")).unwrap();
        for host in &variant.hosts {
            let assignment = plan.assignment(host).unwrap();
            writeln!(
                text,
                "  {host} ({}): {}",
                assignment.compatibility, assignment.reason
            )
            .unwrap();
        }
    }
    for unplaced in &plan.unplaced {
        writeln!(
            text,
            "\nleft out: {}\n  {}\n  → {}",
            unplaced.host, unplaced.reason, unplaced.remedy
        )
        .unwrap();
    }
    text
}
