//! What an operator asks of a release, checked.

use tfleet_proto::convert::Refusal;
use tfleet_proto::wire;

use super::policy;
use crate::build::{Dockerfile, Flavour};
use crate::store::ReleaseRequest;

/// Reads a specification. Everything in it ends on a command line or in a file of a build, so its form is strict.
pub fn read(spec: Option<wire::ReleaseSpec>) -> Result<ReleaseRequest, Refusal> {
    let spec = spec.ok_or_else(|| Refusal::new("spec", "is required"))?;
    check(spec).map_err(|refusal| refusal.within("spec"))
}

pub fn wire(request: &ReleaseRequest) -> wire::ReleaseSpec {
    wire::ReleaseSpec {
        name: request.name.to_string(),
        tensorflow: request.tensorflow.to_string(),
        python_packages: request.python_packages.clone(),
        debian_packages: request.debian_packages.clone(),
        environment: request.environment.clone(),
        ports: request.ports.iter().copied().map(u32::from).collect(),
        base: request.base.clone().unwrap_or_default(),
        policy: Some(policy::wire(&request.policy)),
        spans_majors: request.spans_majors,
        flavours: request.flavours.clone(),
        authorized_keys: request.authorized_keys.clone().unwrap_or_default(),
        dockerfile: request.dockerfile.clone().unwrap_or_default(),
    }
}

fn check(spec: wire::ReleaseSpec) -> Result<ReleaseRequest, Refusal> {
    let refuse = |field: String, why: String| Refusal::new(field, why);
    for (index, package) in spec.python_packages.iter().enumerate() {
        let is_requirement = package.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !package.contains(char::is_control);
        if !is_requirement {
            let why = format!("`{package}` is not a Python requirement, such as pandas==2.2.3");
            return Err(refuse(format!("python_packages[{index}]"), why));
        }
    }
    for (index, package) in spec.debian_packages.iter().enumerate() {
        // Debian Policy 5.6.1, and the architecture or version that apt takes after it.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:=~".contains(&byte);
        let is_package = package.starts_with(|first: char| first.is_ascii_alphanumeric())
            && package.bytes().all(known);
        if !is_package {
            let why = format!("`{package}` is not the name of a Debian package");
            return Err(refuse(format!("debian_packages[{index}]"), why));
        }
    }
    if let Some(name) = spec
        .environment
        .keys()
        .find(|name| name.is_empty() || name.contains(['=', '\0', '\n']))
    {
        let why = format!("`{name}` is not the name of an environment variable");
        return Err(refuse("environment".to_owned(), why));
    }
    let port = |(index, port): (usize, &u32)| match u16::try_from(*port) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(refuse(
            format!("ports[{index}]"),
            format!("{port} is not a port; ports are 1 to 65535"),
        )),
    };
    for (index, flavour) in spec.flavours.iter().enumerate() {
        let known = flavour.parse::<Flavour>();
        known.map_err(|error| refuse(format!("flavours[{index}]"), error.to_string()))?;
    }
    let present = |text: String| Some(text).filter(|text| !text.is_empty());
    let dockerfile = present(spec.dockerfile);
    if let Some(text) = &dockerfile {
        let taken = Dockerfile::new(text.clone());
        taken.map_err(|error| refuse("dockerfile".to_owned(), error.to_string()))?;
    }
    let authorized_keys = present(spec.authorized_keys);
    if let Some(text) = &authorized_keys {
        check_keys(text).map_err(|why| refuse("authorized_keys".to_owned(), why))?;
    }
    Ok(ReleaseRequest {
        anew: false,
        name: spec
            .name
            .parse()
            .map_err(|error| refuse("name".to_owned(), format!("{error}")))?,
        tensorflow: spec
            .tensorflow
            .parse()
            .map_err(|error| refuse("tensorflow".to_owned(), format!("{error}")))?,
        ports: spec
            .ports
            .iter()
            .enumerate()
            .map(port)
            .collect::<Result<_, _>>()?,
        python_packages: spec.python_packages,
        debian_packages: spec.debian_packages,
        environment: spec.environment,
        base: present(spec.base),
        flavours: spec.flavours,
        authorized_keys,
        dockerfile,
        policy: policy::read(spec.policy)?,
        spans_majors: spec.spans_majors,
    })
}

/// So many keys are more than anybody needs, and they are kept with every revision.
const LARGEST_KEYS_BYTES: usize = 64 << 10;

/// A private key in place of a public one would be in every image.
fn check_keys(text: &str) -> Result<(), String> {
    if text.len() > LARGEST_KEYS_BYTES {
        return Err(format!(
            "has {} bytes; at most {LARGEST_KEYS_BYTES} are taken",
            text.len()
        ));
    }
    if text.contains("PRIVATE KEY") {
        return Err(
            "holds a private key; give the public ones, such as ~/.ssh/id_ed25519.pub".to_owned(),
        );
    }
    let is_key = |line: &str| {
        ["ssh-", "ecdsa-", "sk-"]
            .iter()
            .any(|kind| line.split_whitespace().any(|word| word.starts_with(kind)))
    };
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    if lines.peek().is_none() {
        return Err("holds no key".to_owned());
    }
    match lines.find(|line| !is_key(line)) {
        Some(line) => Err(format!("`{line}` is not a public key")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
