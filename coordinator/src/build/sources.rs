//! Where packages come from for one build: the site's indexes and mirrors, or else the machine's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::BuildError;
use crate::artifact::Secrets;
use crate::config::Site;

mod apt;
mod secrets;

pub use apt::DebianSource;
pub use secrets::{CertificateMarks, certificate_marks};

/// The sources, read once per build, so that a changed configuration of the machine counts from the next build on.
#[derive(Debug, Clone)]
pub struct Sources {
    /// In the order in which they are tried, at least one.
    pub indexes: Vec<Index>,
    /// Empty: the machine's own.
    pub debian_mirrors: Vec<String>,
    pub ca_bundle: Option<PathBuf>,
    pub proxy: Option<String>,
    pub stall_seconds: u32,
    pub network: String,
    /// What of it must never be in an image or a log: every password, as it is given and as it is meant.
    pub secrets: Secrets,
}

/// A Python package index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// None: the tools' own default.
    pub url: Option<String>,
    pub extra_urls: Vec<String>,
}

impl Sources {
    /// Reads the machine's configuration where the site says nothing.
    ///
    /// # Errors
    /// If the CA bundle cannot be read.
    pub async fn of(site: &Site) -> Result<Self, BuildError> {
        let pip = pip_configuration().await;
        let mut indexes: Vec<_> = site
            .python_indexes
            .iter()
            .map(|url| Index {
                url: Some(url.clone()),
                extra_urls: Vec::new(),
            })
            .collect();
        if indexes.is_empty() {
            let extra_urls = pip
                .get("extra-index-url")
                .map(|urls| words(urls))
                .unwrap_or_default();
            indexes.push(Index {
                url: pip.get("index-url").cloned(),
                extra_urls,
            });
        }
        let ca_bundle = site
            .ca_bundle
            .clone()
            .or_else(|| pip.get("cert").map(PathBuf::from));
        if let Some(path) = &ca_bundle {
            fs::metadata(path).map_err(BuildError::io("read the CA bundle", path))?;
        }
        let proxy = site
            .proxy
            .clone()
            .or_else(|| pip.get("proxy").cloned())
            .or_else(environment_proxy);
        let machine_mirrors = if site.debian_mirrors.is_empty() {
            apt::urls(Path::new("/etc/apt"))
        } else {
            Vec::new()
        };
        let urls = indexes
            .iter()
            .flat_map(|index| index.url.iter().chain(&index.extra_urls));
        let secrets = urls
            .map(|url| ("a package index", url))
            .chain(
                site.debian_mirrors
                    .iter()
                    .chain(&machine_mirrors)
                    .map(|url| ("a Debian mirror", url)),
            )
            .chain(proxy.iter().map(|url| ("the proxy", url)))
            .flat_map(|(what, url)| secrets::of_url(what, url))
            .collect();
        Ok(Self {
            indexes,
            debian_mirrors: site.debian_mirrors.clone(),
            ca_bundle,
            proxy,
            stall_seconds: site.stall_seconds,
            network: site.network.clone(),
            secrets,
        })
    }

    /// What makes the usual programs of a build step use these sources: uv, pip, curl, wget, and whatever heeds a proxy. Of
    /// several indexes it is the first. The CA bundle, if there is one, lies at `ca_bundle` where the step runs.
    pub fn step_environment(&self, ca_bundle: &Path) -> Vec<(&'static str, String)> {
        let ca_bundle = self.ca_bundle.as_ref().map(|_| ca_bundle);
        let mut variables = Vec::new();
        if let Some(index) = self.indexes.first() {
            variables.extend(index.environment(self, ca_bundle));
            variables.extend(index.url.iter().map(|url| ("PIP_INDEX_URL", url.clone())));
            if !index.extra_urls.is_empty() {
                variables.push(("PIP_EXTRA_INDEX_URL", index.extra_urls.join(" ")));
            }
        }
        for name in ["https_proxy", "http_proxy"] {
            variables.extend(self.proxy.iter().map(|proxy| (name, proxy.clone())));
        }
        for name in ["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
            variables.extend(ca_bundle.map(|path| (name, path.display().to_string())));
        }
        variables
    }

    /// The hosts of these sources, with their ports, and what each is. Of mirrors, those that the site names: a machine's
    /// own are mostly everybody's.
    pub fn hosts(&self) -> Vec<(&'static str, String)> {
        let indexes = self
            .indexes
            .iter()
            .flat_map(|index| index.url.iter().chain(&index.extra_urls))
            .map(|url| ("a package index", url));
        let mirrors = self
            .debian_mirrors
            .iter()
            .map(|url| ("a Debian mirror", url));
        let proxy = self.proxy.iter().map(|url| ("the proxy", url));
        indexes
            .chain(mirrors)
            .chain(proxy)
            .filter_map(|(what, url)| Some((what, secrets::host(url)?.to_owned())))
            .collect()
    }

    /// All indexes as one, for whoever knows the place of a file and needs only the credentials for it.
    pub fn all_indexes(&self) -> Index {
        let urls = self
            .indexes
            .iter()
            .flat_map(|index| index.url.iter().chain(&index.extra_urls));
        let mut urls = urls.cloned();
        Index {
            url: urls.next(),
            extra_urls: urls.collect(),
        }
    }

    /// What must not be in an image on a base that has the certificates `of_base` itself: the secrets, and the CA
    /// bundle.
    ///
    /// # Errors
    /// If the CA bundle cannot be read.
    pub fn secrets_beyond(&self, of_base: &CertificateMarks) -> Result<Secrets, BuildError> {
        let Some(path) = &self.ca_bundle else {
            return Ok(self.secrets.clone());
        };
        let bundle = fs::read(path).map_err(BuildError::io("read the CA bundle", path))?;
        Ok(self.secrets.with(secrets::of_bundle(&bundle, of_base)))
    }
}

impl Index {
    /// Environment variables that make uv use this index of `sources`, and give it up after a while without progress.
    /// The CA bundle lies at `ca_bundle` where uv runs.
    pub fn environment(
        &self,
        sources: &Sources,
        ca_bundle: Option<&Path>,
    ) -> Vec<(&'static str, String)> {
        // Trying the same index again would only delay the next one.
        let retries = if sources.indexes.len() > 1 { 0 } else { 2 };
        let mut variables = vec![
            ("UV_NO_CONFIG", "1".to_owned()),
            ("UV_HTTP_TIMEOUT", sources.stall_seconds.to_string()),
            ("UV_HTTP_RETRIES", retries.to_string()),
            ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
        ];
        if let Some(url) = &self.url {
            variables.push(("UV_DEFAULT_INDEX", url.clone()));
        }
        if !self.extra_urls.is_empty() {
            variables.push(("UV_INDEX", self.extra_urls.join(" ")));
        }
        for name in ["HTTPS_PROXY", "HTTP_PROXY"] {
            variables.extend(sources.proxy.iter().map(|proxy| (name, proxy.clone())));
        }
        variables.extend(ca_bundle.map(|path| ("SSL_CERT_FILE", path.display().to_string())));
        variables
    }

    /// Its name in a log.
    pub fn shown(&self) -> String {
        self.url.as_deref().map_or_else(
            || "the default package index".to_owned(),
            without_credentials,
        )
    }
}

/// A URL without the `USER:PASSWORD@` in it.
pub fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), secrets::user_info(url)) {
        (Some((scheme, rest)), Some(user_info)) => {
            format!("{scheme}://{}", &rest[user_info.len() + 1..])
        }
        _ => url.to_owned(),
    }
}

/// What pip would use on this machine: its files and `PIP_*`, the environment first. Nothing if there is no pip.
async fn pip_configuration() -> std::collections::BTreeMap<String, String> {
    let output = Command::new("python3")
        .args(["-m", "pip", "config", "list"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => {
            parse_pip_configuration(&String::from_utf8_lossy(&output.stdout))
        }
        // Without pip there is no configuration of pip.
        _ => std::collections::BTreeMap::new(),
    }
}

/// Lines are `SCOPE.KEY='VALUE'`; the scope `:env:` wins over `install`, that over `global`.
fn parse_pip_configuration(text: &str) -> std::collections::BTreeMap<String, String> {
    let mut found = std::collections::BTreeMap::new();
    for wanted in ["global.", "install.", ":env:."] {
        for line in text.lines() {
            if let Some((key, value)) = line
                .strip_prefix(wanted)
                .and_then(|rest| rest.split_once('='))
            {
                let value = value.trim_matches(['\'', '"']).replace("\\n", " ");
                found.insert(key.to_owned(), value);
            }
        }
    }
    found
}

fn environment_proxy() -> Option<String> {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|value| !value.is_empty())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
