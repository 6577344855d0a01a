//! What is asked, and what the engine made of it, against the policy.

use std::path::{Path, PathBuf};

use tfleet_proto::model::desired::{ContainerSpec, GpuRequest, HostNamespace};
use tfleet_proto::model::name::ReleaseName;

use super::{Policy, Refusal, Rule, nesting};

/// What the engine made, as far as the policy has a say in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    pub privileged: bool,
    pub host_namespaces: Vec<HostNamespace>,
    /// With or without "CAP_".
    pub capabilities: Vec<String>,
    /// Paths of the host that the container sees.
    pub bind_sources: Vec<PathBuf>,
    /// Numbers; what is none is never allowed.
    pub host_ports: Vec<String>,
}

impl Policy {
    /// Checks what is asked. Gives it back with the sources of its binds resolved: the engine shall get the very paths
    /// that were judged, or a link that is changed in between would lead it elsewhere. Looks at the disk.
    pub fn check_spec(&self, spec: &ContainerSpec) -> Result<ContainerSpec, Refusal> {
        self.check_release(&spec.release.name)?;
        if spec.gpus != GpuRequest::None && !self.gpus {
            return Err(Refusal::rule(Rule::Gpus, "containers with GPUs"));
        }
        let mut resolved = spec.clone();
        for bind in &mut resolved.binds {
            let source = self.resolve(Path::new(&bind.source))?;
            bind.source =
                source
                    .into_os_string()
                    .into_string()
                    .map_err(|source| Refusal::BindSource {
                        path: source.into(),
                        why: "its name is not UTF-8".to_owned(),
                    })?;
        }
        nesting::check_within(&resolved.binds)?;
        self.check_made(&Made {
            privileged: spec.privileged,
            host_namespaces: spec.host_namespaces.clone(),
            capabilities: spec.capabilities.clone(),
            bind_sources: Vec::new(),
            host_ports: spec
                .ports
                .iter()
                .map(|port| port.host_port.to_string())
                .collect(),
        })?;
        Ok(resolved)
    }

    /// Whether images of a release may come here, and containers of it run.
    pub fn check_release(&self, name: &ReleaseName) -> Result<(), Refusal> {
        let mut patterns = self.releases.iter();
        if patterns.any(|pattern| pattern.matches(name.as_str())) {
            Ok(())
        } else {
            Err(Refusal::rule(Rule::Releases, format!("the release {name}")))
        }
    }

    /// Checks what the engine made, before it starts. Looks at the disk.
    pub fn check_made(&self, made: &Made) -> Result<(), Refusal> {
        if made.privileged && !self.privileged {
            return Err(Refusal::rule(Rule::Privileged, "privileged containers"));
        }
        if let Some(namespace) = made
            .host_namespaces
            .iter()
            .find(|it| !self.host_namespaces.contains(it))
        {
            return Err(Refusal::rule(
                Rule::HostNamespaces,
                format!("the host's {} namespace", namespace.as_str()),
            ));
        }
        let mut capabilities = made.capabilities.iter().map(|name| capability(name));
        if let Some(name) = capabilities.find(|name| !self.capabilities.contains(name)) {
            return Err(Refusal::rule(
                Rule::Capabilities,
                format!("the capability {name}"),
            ));
        }
        if let Some(port) = made.host_ports.iter().find(|port| !self.allows_port(port)) {
            let what = match port.as_str() {
                "" => "a port of the host that the engine chooses".to_owned(),
                port => format!("port {port} of the host"),
            };
            return Err(Refusal::rule(Rule::HostPorts, what));
        }
        made.bind_sources
            .iter()
            .try_for_each(|source| self.resolve(source).map(drop))
    }

    /// The path without symbolic links, if it is below an allowed one.
    fn resolve(&self, source: &Path) -> Result<PathBuf, Refusal> {
        let refused = |what: String| Refusal::rule(Rule::BindPrefixes, what);
        // Before the disk is looked at, so that nobody learns what is on it.
        if self.bind_prefixes.is_empty() || !source.is_absolute() {
            return Err(refused(format!("to bind {}", source.display())));
        }
        let resolved = source.canonicalize().map_err(|error| Refusal::BindSource {
            path: source.to_path_buf(),
            why: error.to_string(),
        });
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err(missing)
                if self
                    .bind_prefixes
                    .iter()
                    .any(|prefix| source.starts_with(prefix)) =>
            {
                return Err(missing);
            }
            Err(_) => return Err(refused(format!("to bind {}", source.display()))),
        };
        // A prefix may itself be reached by a link; one that does not exist allows nothing.
        let mut prefixes = self
            .bind_prefixes
            .iter()
            .filter_map(|prefix| prefix.canonicalize().ok());
        if prefixes.any(|prefix| resolved.starts_with(prefix)) {
            return Ok(resolved);
        }
        if resolved == source {
            Err(refused(format!("to bind {}", source.display())))
        } else {
            Err(refused(format!(
                "to bind {}, which leads to {}",
                source.display(),
                resolved.display()
            )))
        }
    }

    fn allows_port(&self, port: &str) -> bool {
        let allows = |port| self.host_ports.iter().any(|range| range.contains(port));
        port.parse().is_ok_and(allows)
    }
}

fn capability(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_")
        .map_or(name.clone(), str::to_owned)
}
