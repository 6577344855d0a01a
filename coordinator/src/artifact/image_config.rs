//! An image's configuration, rewritten so that equal images have equal ones.
//!
//! Kept is what a container's life depends on, and the history without its times. What tells when, where and by which
//! program the image was made falls away.

use serde_json::{Map, Value, json};
use tfleet_compat::Architecture;
use tfleet_proto::model::digest::Digest;

/// Why a text is not an image's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the image's configuration is not JSON")]
    Json(#[source] serde_json::Error),
    #[error("the image's configuration has no {field}")]
    Missing { field: &'static str },
    #[error("the image's configuration names {named} layers, its archive has {present}")]
    Layers { named: usize, present: usize },
}

/// The same moment as in the layers' entries.
const FIXED_TIME: &str = "1980-01-01T00:00:00Z";

const KEPT: [&str; 7] = [
    "architecture",
    "author",
    "config",
    "os",
    "os.features",
    "os.version",
    "variant",
];
const KEPT_OF_HISTORY: [&str; 4] = ["author", "comment", "created_by", "empty_layer"];

/// The diff IDs that a configuration names.
pub fn diff_ids(config: &Value) -> Result<Vec<Digest>, ConfigError> {
    let missing = || ConfigError::Missing {
        field: "rootfs.diff_ids",
    };
    config
        .pointer("/rootfs/diff_ids")
        .and_then(Value::as_array)
        .ok_or_else(missing)?
        .iter()
        .map(|id| {
            id.as_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(missing)
        })
        .collect()
}

/// The configuration's normal form over the layers `diff_ids`. Keys are sorted.
pub fn rewrite(config: &Value, diff_ids: &[Digest]) -> Result<String, ConfigError> {
    for field in ["architecture", "os"] {
        if !config.get(field).is_some_and(Value::is_string) {
            return Err(ConfigError::Missing { field });
        }
    }
    let mut kept = keep(config, &KEPT);
    if let Some(Value::Object(settings)) = kept.get_mut("config") {
        // The parent's identifier in the engine that built it.
        settings.remove("Image");
        settings.retain(|_, value| !value.is_null());
    }
    let history = config
        .get("history")
        .and_then(Value::as_array)
        .map(|entries| {
            let entry = |entry: &Value| {
                let mut entry = keep(entry, &KEPT_OF_HISTORY);
                entry.insert("created".to_owned(), json!(FIXED_TIME));
                if let Some(ports) = entry.get("created_by").and_then(exposed) {
                    entry.insert("created_by".to_owned(), json!(ports));
                }
                Value::Object(entry)
            };
            entries.iter().map(entry).collect::<Vec<_>>()
        });
    if let Some(history) = history {
        kept.insert("history".to_owned(), Value::Array(history));
    }
    kept.insert("created".to_owned(), json!(FIXED_TIME));
    kept.insert(
        "rootfs".to_owned(),
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    Ok(sorted(Value::Object(kept)).to_string())
}

/// The configuration of an image that is one root file system.
pub fn of_root_file_system(architecture: Architecture, diff_id: &Digest) -> String {
    let architecture = match architecture {
        Architecture::X86_64 => "amd64",
        Architecture::Aarch64 => "arm64",
    };
    sorted(json!({
        "architecture": architecture,
        "config": { "Cmd": ["/bin/sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
        "created": FIXED_TIME,
        "history": [{ "created": FIXED_TIME, "created_by": "tfleet base" }],
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    }))
    .to_string()
}

/// A step that exposes ports, spelt one way: BuildKit wrote `EXPOSE map[8888/tcp:{}]`, and writes `EXPOSE [8888/tcp]` in
/// Docker 28.
fn exposed(created_by: &Value) -> Option<String> {
    let ports = created_by.as_str()?.strip_prefix("EXPOSE ")?;
    let ports = ports.strip_prefix("map").unwrap_or(ports);
    let ports = ports.strip_prefix('[')?.strip_suffix(']')?;
    let mut ports: Vec<_> = ports
        .split_whitespace()
        .map(|port| port.strip_suffix(":{}").unwrap_or(port))
        .collect();
    ports.sort_unstable();
    Some(format!("EXPOSE {}", ports.join(" ")))
}

fn keep(from: &Value, fields: &[&str]) -> Map<String, Value> {
    fields
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), from.get(*field)?.clone())))
        .collect()
}

/// `serde_json` keeps keys in order of insertion when some other crate asks it to, so the order is made here.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
