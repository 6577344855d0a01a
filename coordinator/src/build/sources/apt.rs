//! Debian sources for a suite: a site's mirror, or the machine's own sources with the suite replaced.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a `sources.list` that together can bootstrap a suite, and how a log names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianSource {
    /// Empty: the bootstrapper's own default.
    pub lines: Vec<String>,
    pub shown: String,
}

impl DebianSource {
    /// The sources to try in turn, at least one.
    pub fn for_suite(mirrors: &[String], suite: &str) -> Vec<Self> {
        if mirrors.is_empty() {
            return vec![Self::of_machine(suite)];
        }
        let of_mirror = |url: &String| Self {
            lines: vec![format!("deb {url} {suite} main")],
            shown: super::without_credentials(url),
        };
        mirrors.iter().map(of_mirror).collect()
    }

    /// A Debian machine's own sources know the way to a mirror that works here; on other machines the bootstrapper's
    /// default has to do.
    fn of_machine(suite: &str) -> Self {
        let codename = fs::read_to_string("/etc/os-release")
            .ok()
            .and_then(|text| debian_codename(&text));
        let lines = codename
            .map(|codename| {
                entries(Path::new("/etc/apt"))
                    .iter()
                    .filter_map(|entry| entry.line_for(&codename, suite))
                    .collect::<Vec<_>>()
            })
            .unwrap_or_default();
        Self {
            lines,
            shown: "this machine's own Debian sources".to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub url: String,
    pub suite: String,
    pub components: Vec<String>,
}

impl Entry {
    /// This entry for another suite, if it is one of Debian's own and not a third party's that uses the same codename.
    pub(super) fn line_for(&self, codename: &str, suite: &str) -> Option<String> {
        let pocket = self.suite.strip_prefix(codename)?;
        let of_debian = self
            .url
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("debian"));
        let is_pocket = matches!(pocket, "" | "-updates" | "-security");
        (of_debian && is_pocket && self.components.iter().any(|component| component == "main"))
            .then(|| format!("deb {} {suite}{pocket} main", self.url))
    }
}

/// Where the sources in apt's `folder` lead, those of third parties included.
pub(super) fn urls(folder: &Path) -> Vec<String> {
    let mut urls: Vec<_> = entries(folder).into_iter().map(|entry| entry.url).collect();
    urls.sort();
    urls.dedup();
    urls
}

fn entries(folder: &Path) -> Vec<Entry> {
    let files = source_files(folder);
    let mut entries: Vec<_> = files
        .iter()
        .filter_map(|path| read_sources(path))
        .flatten()
        .collect();
    entries.dedup();
    entries
}

fn debian_codename(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        let line = os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    (value("ID")? == "debian").then(|| value("VERSION_CODENAME"))?
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![folder.join("sources.list")];
    if let Ok(folder) = fs::read_dir(folder.join("sources.list.d")) {
        files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    files
}

/// None for files that are not sources or not there: apt ignores them too.
fn read_sources(path: &Path) -> Option<Vec<Entry>> {
    let text = fs::read_to_string(path).ok()?;
    match path.extension()?.to_str()? {
        "list" => Some(parse_one_line(&text)),
        "sources" => Some(parse_deb822(&text)),
        _ => None,
    }
}

/// `deb [options] URL SUITE COMPONENT…`
pub(super) fn parse_one_line(text: &str) -> Vec<Entry> {
    let parse = |line: &str| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') {
            rest.split_once(']')?.1
        } else {
            rest
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some(Entry {
            url: words.next()?,
            suite: words.next()?,
            components: words.collect(),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Paragraphs of `Types`, `URIs`, `Suites`, `Components`.
pub(super) fn parse_deb822(text: &str) -> Vec<Entry> {
    let paragraph = |paragraph: &str| -> Vec<Entry> {
        let field = |name: &str| -> Vec<String> {
            paragraph
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        if !field("Types").iter().any(|kind| kind == "deb")
            || field("Enabled").first().is_some_and(|on| on == "no")
        {
            return Vec::new();
        }
        let (suites, components) = (field("Suites"), field("Components"));
        field("URIs")
            .into_iter()
            .flat_map(|url| {
                let entry = |suite: &String| Entry {
                    url: url.clone(),
                    suite: suite.clone(),
                    components: components.clone(),
                };
                suites.iter().map(entry).collect::<Vec<_>>()
            })
            .collect()
    };
    let uncommented: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    uncommented
        .join("\n")
        .split("\n\n")
        .flat_map(paragraph)
        .collect()
}
