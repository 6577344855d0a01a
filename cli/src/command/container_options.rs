//! The options of `tfleet run` that have a form of their own, read where they are typed.

use std::net::IpAddr;
use std::num::NonZeroU16;

use tfleet_proto::model::desired::{
    BindMount, GpuRequest, PortBinding, PortProtocol, RestartPolicy,
};

/// `-p [ADDRESS:]HOST_PORT:CONTAINER_PORT[/tcp|/udp]`; an IPv6 address in brackets.
pub fn port(text: &str) -> Result<PortBinding, String> {
    let form =
        "write [ADDRESS:]HOST_PORT:CONTAINER_PORT[/udp], such as 8888:8888 or 127.0.0.1:2222:22";
    let (ports, protocol) = match text.rsplit_once('/') {
        None => (text, PortProtocol::Tcp),
        Some((ports, "tcp")) => (ports, PortProtocol::Tcp),
        Some((ports, "udp")) => (ports, PortProtocol::Udp),
        Some((_, other)) => {
            return Err(format!(
                "`{other}` is not a protocol; there are tcp and udp"
            ));
        }
    };
    let (rest, container_port) = ports.rsplit_once(':').ok_or(form)?;
    let (host_address, host_port) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((address, host_port)) => (Some(ip_address(address)?), host_port),
    };
    Ok(PortBinding {
        host_address,
        host_port: port_number(host_port)?,
        container_port: port_number(container_port)?,
        protocol,
    })
}

fn ip_address(text: &str) -> Result<IpAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .map_err(|_| format!("`{text}` is not an IP address of the host"))
}

fn port_number(text: &str) -> Result<NonZeroU16, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a port; ports are 1 to 65535"))
}

/// `-v SOURCE:TARGET[:ro|:rw]`, both absolute paths.
pub fn bind(text: &str) -> Result<BindMount, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, read_only) = match parts.as_slice() {
        [source, target] | [source, target, "rw"] => (*source, *target, false),
        [source, target, "ro"] => (*source, *target, true),
        [_, _, other] => return Err(format!("`{other}` is not a mode; there are ro and rw")),
        _ => return Err("write SOURCE:TARGET[:ro], such as /data/sets:/data:ro".to_owned()),
    };
    for path in [source, target] {
        if !path.starts_with('/') {
            return Err(format!(
                "`{path}` is not an absolute path; only the host's own folders can be bound"
            ));
        }
    }
    Ok(BindMount {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    })
}

/// `-e NAME=VALUE`.
pub fn environment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` sets no variable; write NAME=VALUE")),
    }
}

/// Bytes. `1g`, `512m` and `64k` are powers of 1024, as with docker; `1.5GiB` and `2GB` mean what they say.
pub fn size(text: &str) -> Result<u64, String> {
    let refusal = || format!("`{text}` is not a size; write 1g, 512m or 1.5GiB");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let exponent = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => {
            let size: bytesize::ByteSize = text.parse().map_err(|_| refusal())?;
            return positive(size.as_u64()).ok_or_else(refusal);
        }
    };
    let count: u64 = digits.parse().map_err(|_| refusal())?;
    count
        .checked_mul(1 << exponent)
        .and_then(positive)
        .ok_or_else(refusal)
}

fn positive(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// `no`, `always`, `unless-stopped` or `on-failure[:RETRIES]`.
pub fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    match text.split_once(':') {
        None if text == "no" => Ok(RestartPolicy::No),
        None if text == "always" => Ok(RestartPolicy::Always),
        None if text == "unless-stopped" => Ok(RestartPolicy::UnlessStopped),
        None if text == "on-failure" => Ok(RestartPolicy::OnFailure { maximum_retries: 0 }),
        Some(("on-failure", retries)) => match retries.parse() {
            Ok(maximum_retries) if maximum_retries > 0 => {
                Ok(RestartPolicy::OnFailure { maximum_retries })
            }
            _ => Err(format!("`{retries}` is not a number of retries from 1 on")),
        },
        _ => Err(format!(
            "`{text}` is not a restart policy; there are no, always, unless-stopped and on-failure[:N]"
        )),
    }
}

/// `all`, `none`, or UUIDs with commas between them.
pub fn gpus(text: &str) -> Result<GpuRequest, String> {
    match text {
        "all" => Ok(GpuRequest::All),
        "none" => Ok(GpuRequest::None),
        _ => {
            let uuids: Vec<String> = text.split(',').map(str::to_owned).collect();
            match uuids
                .iter()
                .find(|uuid| !uuid.starts_with("GPU-") && !uuid.starts_with("MIG-"))
            {
                None => Ok(GpuRequest::Uuids(uuids)),
                Some(other) => Err(format!(
                    "`{other}` is not a GPU's UUID; write all, none, or UUIDs as `tfleet hosts show HOST` prints them"
                )),
            }
        }
    }
}
