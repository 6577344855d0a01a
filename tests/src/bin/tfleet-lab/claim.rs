//! Which state folder the lab stands in. Its bridge, namespaces and addresses are named machine-wide, so there is one of
//! it on a machine, whatever folder is named.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tfleet_tests::lab::LabId;

/// Beside those of the tests' labs. It is gone after a reboot, like the lab.
const FOLDER: &str = "/run/tfleet-lab";

/// While it lives no other command brings the lab up or down.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims the lab for this state folder, unless one stands in another.
    pub fn take(state: &Path) -> Result<Self> {
        let bridge = Path::new("/sys/class/net").join(LabId::DEFAULT.bridge());
        let path = Path::new(FOLDER).join(LabId::DEFAULT.to_string());
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
        Self::take_at(path, state, || bridge.exists())
    }

    fn take_at(path: PathBuf, state: &Path, stands: impl Fn() -> bool) -> Result<Self> {
        let what = || format!("cannot use {}", path.display());
        let state = std::path::absolute(state).context("cannot find the state folder")?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(what)?;
        file.lock().with_context(what)?;
        let mut holder = String::new();
        file.read_to_string(&mut holder).with_context(what)?;
        let holder = Path::new(&holder);
        if !holder.as_os_str().is_empty() && holder != state && stands() {
            bail!(
                "the lab in {0} is up, and a machine has one: take it down first (tfleet-lab --state-dir {0} down)",
                holder.display()
            );
        }
        let mut claim = Self { file, path };
        claim.write(state.as_os_str().as_encoded_bytes())?;
        Ok(claim)
    }

    /// The lab is down: it may stand anywhere.
    pub fn give_up(mut self) -> Result<()> {
        self.write(b"")
    }

    fn write(&mut self, content: &[u8]) -> Result<()> {
        use std::io::Seek as _;
        let mut write = || {
            self.file.rewind()?;
            self.file.set_len(0)?;
            self.file.write_all(content)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_in_another_folder_is_refused_while_the_first_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = || folder.path().join("0");
        let (one, two) = (Path::new("/var/lib/one"), Path::new("/var/lib/two"));
        drop(Claim::take_at(path(), one, || false).unwrap());
        // Again, and after a reboot: nothing stands, whatever the file says.
        drop(Claim::take_at(path(), one, || true).unwrap());
        drop(Claim::take_at(path(), two, || false).unwrap());

        let refusal = Claim::take_at(path(), one, || true).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the lab in /var/lib/two is up, and a machine has one: take it down first (tfleet-lab --state-dir \
             /var/lib/two down)"
        );
        let down = Claim::take_at(path(), two, || true).unwrap();
        down.give_up().unwrap();
        Claim::take_at(path(), one, || true).unwrap();
    }
}
