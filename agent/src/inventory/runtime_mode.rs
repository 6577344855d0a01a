//! How NVIDIA's container runtime puts a GPU into a container, as its configuration says.

use std::path::Path;

use serde::Deserialize;
use tfleet_proto::model::inventory::RuntimeMode;

/// Where NVIDIA's packages put the configuration, below the engine's root.
pub(super) const FILE: &str = "/etc/nvidia-container-runtime/config.toml";

/// The part of the file that is asked; the rest is the runtime's own.
#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "nvidia-container-runtime")]
    runtime: Option<Runtime>,
}

#[derive(Deserialize)]
struct Runtime {
    mode: Option<String>,
}

/// The mode that the file names; none where there is no file, none is named, or the runtime is to choose itself ("auto"),
/// which it does by its version and by each container.
pub(super) fn look(file: &Path) -> Option<RuntimeMode> {
    // A file that cannot be read or is not well formed stops the runtime, not this; the mode is unknown then.
    let text = std::fs::read_to_string(file).ok()?;
    mode_in(&text)
}

fn mode_in(text: &str) -> Option<RuntimeMode> {
    let configuration: Configuration = toml::from_str(text).ok()?;
    match configuration.runtime?.mode?.as_str() {
        "legacy" => Some(RuntimeMode::Legacy),
        "csv" => Some(RuntimeMode::Csv),
        "cdi" => Some(RuntimeMode::Cdi),
        "jit-cdi" => Some(RuntimeMode::JitCdi),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_what_the_runtimes_own_table_says() {
        let file = |mode: &str| {
            format!(
                "accept-nvidia-visible-devices-envvar-when-unprivileged = true\n[nvidia-container-cli]\nmode = \"x\"\n\
                 [nvidia-container-runtime]\nlog-level = \"info\"\nmode = \"{mode}\"\n[nvidia-container-runtime.modes.csv]\n\
                 mount-spec-path = \"/etc\"\n"
            )
        };
        assert_eq!(mode_in(&file("legacy")), Some(RuntimeMode::Legacy));
        assert_eq!(mode_in(&file("csv")), Some(RuntimeMode::Csv));
        assert_eq!(mode_in(&file("cdi")), Some(RuntimeMode::Cdi));
        assert_eq!(mode_in(&file("jit-cdi")), Some(RuntimeMode::JitCdi));
        assert_eq!(mode_in(&file("auto")), None);
    }

    #[test]
    fn what_says_nothing_or_is_no_configuration_leaves_the_mode_unknown() {
        for text in [
            "",
            "[nvidia-container-runtime]",
            "mode = \"cdi\"",
            "not toml [",
        ] {
            assert_eq!(mode_in(text), None, "{text:?}");
        }
        assert_eq!(look(Path::new("/nowhere/config.toml")), None);
    }
}
