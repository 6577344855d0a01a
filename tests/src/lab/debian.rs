//! Debian trees that hold the engines of other releases.
//!
//! Made once by mmdebstrap from the mirror that this machine itself uses, kept in the cache folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::run;
use super::error::{LabError, at};

/// Where the tree of `release` is, or will be.
pub fn tree(cache: &Path, release: &str) -> PathBuf {
    cache.join(release)
}

/// Makes the tree of `release` unless it is there.
pub fn make(cache: &Path, release: &str) -> Result<(), LabError> {
    let tree = tree(cache, release);
    fs::create_dir_all(cache).map_err(at("make", cache))?;
    let lock_path = cache.join(format!("{release}.lock"));
    let lock = File::create(&lock_path).map_err(at("open", &lock_path))?;
    lock.lock().map_err(at("lock", &lock_path))?;
    if tree.join("usr/sbin/dockerd").exists() {
        return Ok(());
    }
    let unfinished = cache.join(format!("{release}.unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(at("remove", &unfinished))?;
    }
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap
        .args(["--quiet", "--variant=minbase"])
        .arg("--include=docker.io,iptables,ca-certificates")
        // A release in the making may have an index older than it promises.
        .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
        .arg(release)
        .arg(&unfinished);
    if let Some(mirror) = mirror(Path::new("/etc/apt"))? {
        bootstrap.arg(mirror);
    }
    run(&mut bootstrap)?;
    fs::rename(&unfinished, &tree).map_err(at("rename", &unfinished))
}

/// The first Debian archive in the machine's own apt sources. None: mmdebstrap's default.
fn mirror(apt: &Path) -> Result<Option<String>, LabError> {
    let mut files = vec![apt.join("sources.list")];
    let parts = apt.join("sources.list.d");
    if parts.is_dir() {
        for entry in fs::read_dir(&parts).map_err(at("list", &parts))? {
            files.push(entry.map_err(at("list", &parts))?.path());
        }
    }
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        let text = fs::read_to_string(file).map_err(at("read", file))?;
        if let Some(mirror) = mirror_in(&text) {
            return Ok(Some(mirror.to_owned()));
        }
    }
    Ok(None)
}

/// Both spellings: `deb URI …` and `URIs: URI`. A Debian archive's address ends in `/debian`; security and other
/// vendors' archives do not, and hold no release to bootstrap.
fn mirror_in(text: &str) -> Option<&str> {
    text.lines()
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    #[test]
    fn the_mirror_is_found_in_both_spellings() {
        let old = "# deb http://old.invalid/debian x\ndeb [arch=amd64] http://a.invalid/debian/ bookworm main\n";
        assert_eq!(mirror_in(old), Some("http://a.invalid/debian/"));
        let new = "Types: deb\nURIs: http://b.invalid/debian-security http://b.invalid/debian\n";
        assert_eq!(mirror_in(new), Some("http://b.invalid/debian"));
    }

    #[test]
    fn archives_that_are_not_debian_are_passed_over() {
        assert_eq!(mirror_in("deb https://c.invalid/apt sdk main\n"), None);
    }
}
