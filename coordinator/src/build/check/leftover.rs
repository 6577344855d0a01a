//! What a site lends to a build and must not leave in an image: its package indexes, mirrors and proxy.
//!
//! Credentials and the CA bundle are looked for in every byte when the image is stored (`artifact::secrets`). Here are the
//! places where programs keep where they fetch from, and these count without a password too: a container elsewhere would
//! ask a host that it cannot reach.

use tfleet_proto::model::digest::Digest;

use super::{Expectation, Fact, Problem};

/// What an engine says of an image, beyond its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// "NAME=VALUE".
    pub environment: Vec<String>,
    /// The words of each step.
    pub history: Vec<String>,
}

/// Files in which programs keep where they fetch from. A `*` is any name.
pub const CONFIGURATION: [&str; 29] = [
    "/etc/apt/apt.conf",
    "/etc/apt/apt.conf.d/*",
    "/etc/apt/auth.conf",
    "/etc/apt/auth.conf.d/*",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/*",
    "/etc/environment",
    "/etc/pip.conf",
    "/etc/profile.d/*",
    "/etc/uv/uv.toml",
    "/etc/wgetrc",
    "/etc/xdg/pip/pip.conf",
    "/etc/xdg/uv/uv.toml",
    "/home/*/.bashrc",
    "/home/*/.config/pip/pip.conf",
    "/home/*/.config/uv/uv.toml",
    "/home/*/.netrc",
    "/home/*/.pip/pip.conf",
    "/home/*/.profile",
    "/opt/tfleet/pip.conf",
    "/root/.bashrc",
    "/root/.config/pip/pip.conf",
    "/root/.config/uv/uv.toml",
    "/root/.curlrc",
    "/root/.netrc",
    "/root/.pip/pip.conf",
    "/root/.profile",
    "/root/.wgetrc",
    "/usr/local/etc/pip.conf",
];

/// Variables by which programs fetch from somewhere else, or trust somebody more.
const VARIABLES: [&str; 16] = [
    "all_proxy",
    "curl_ca_bundle",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "pip_cert",
    "pip_extra_index_url",
    "pip_index_url",
    "pip_proxy",
    "pip_trusted_host",
    "requests_ca_bundle",
    "ssl_cert_file",
    "uv_default_index",
    "uv_extra_index_url",
    "uv_index",
    "uv_index_url",
];

/// The same in a file, in small letters and without the spaces around `=`.
const SETTINGS: [&str; 9] = [
    "_proxy=",
    "::proxy",
    "index-url",
    "index_url",
    "default-index",
    "uv_index=",
    "uv_default_index=",
    "pip_cert=",
    "ssl_cert_file=",
];

/// Whether the file at `path`, absolute, is one of [`CONFIGURATION`].
pub fn is_configuration(path: &str) -> bool {
    let matches = |pattern: &&str| {
        let (mut wanted, mut parts) = (pattern.split('/'), path.split('/'));
        loop {
            match (wanted.next(), parts.next()) {
                (None, None) => return true,
                (Some(wanted), Some(part)) if wanted == "*" || wanted == part => {}
                _ => return false,
            }
        }
    };
    CONFIGURATION.iter().any(matches)
}

impl Expectation {
    /// What the build left in an image of what its site has lent to it.
    pub fn leftovers(&self, facts: &[Fact], remains: &Remains) -> Vec<Problem> {
        let in_environment = remains.environment.iter().filter_map(|variable| {
            let (name, value) = variable.split_once('=')?;
            if self.asked_variables.contains(name) || self.base_environment.contains(variable) {
                return None;
            }
            let what = match self.host_in(value) {
                Some(what) => what,
                None if VARIABLES.contains(&name.to_lowercase().as_str()) => {
                    "a setting for where to fetch from".to_owned()
                }
                None => return None,
            };
            left(what, format!("the variable {name}"))
        });
        let in_history = remains.history.iter().filter_map(|step| {
            let asked = |name: &String| step.contains(&format!("ENV {name}="));
            if self.base_history.contains(step) || self.asked_variables.iter().any(asked) {
                return None;
            }
            // An index that is everybody's may stand there: a step says where it fetched from.
            let sets_proxy = || {
                let is_set = step.to_lowercase().contains("_proxy=");
                is_set.then(|| "a proxy".to_owned())
            };
            let what = self.host_in(step).or_else(sets_proxy)?;
            left(what, "the image's history".to_owned())
        });
        let in_files = facts.iter().filter_map(|fact| {
            let Fact::File { path, text } = fact else {
                return None;
            };
            let digest = Digest::of(text.as_bytes());
            if self.base_files.get(path) == Some(&digest) || self.bashrc == Some(digest) {
                return None;
            }
            let lines = text.lines().map(str::trim);
            let what = lines
                .filter(|line| !line.starts_with(['#', ';']) && !line.starts_with("//"))
                .find_map(|line| self.found_in(line))?;
            left(what, path.clone())
        });
        in_environment.chain(in_history).chain(in_files).collect()
    }

    /// What a line of a file has of the site, or says about where to fetch from.
    fn found_in(&self, line: &str) -> Option<String> {
        if let Some(what) = self.host_in(line) {
            return Some(what);
        }
        let line = line.to_lowercase().replace(" =", "=");
        let sets = line.starts_with("proxy") || SETTINGS.iter().any(|word| line.contains(word));
        sets.then(|| "a setting for where to fetch from".to_owned())
    }

    fn host_in(&self, text: &str) -> Option<String> {
        self.hosts
            .iter()
            .find(|(_, host)| text.contains(host.as_str()))
            .map(|(what, _)| format!("the address of {what}"))
    }
}

fn left(what: String, place: String) -> Option<Problem> {
    Some(Problem::Left { what, place })
}
