//! A cell: the namespaces that everything of one host runs in.
//!
//! Its own mount namespace lets each host have its own `/proc/driver`, its own engine root and its own mounts of
//! container layers; they vanish with its last process, whatever killed it. Its own network namespace is a
//! [`HostNetwork`]; the builder's cell stays in the machine's.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

use super::command::run;
use super::daemon::kill_and_wait;
use super::error::{LabError, at};
use super::network::HostNetwork;

#[derive(Clone, Debug)]
pub struct Cell {
    /// The host's folder. It has the same path inside the engine's root.
    folder: PathBuf,
    /// Holds the mount namespace while no process is in it.
    pin: PathBuf,
    network: Option<HostNetwork>,
    /// A Debian tree of another release that the engine runs in; none means this machine's own.
    tree: Option<PathBuf>,
    control_group: String,
}

/// Where any Debian release has its programs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments: the host's folder, the engine's tree or nothing.
///
/// The tree becomes the root of its namespace. `chroot` would not do: a program that enters a container's namespaces
/// (`docker exec`) finds itself in the namespace's root, which would still be the machine's.
const FURNISH: &str = r#"
folder=$1 tree=$2
mkdir -p /run/containerd /run/docker
mount -t tmpfs tfleet-lab /run/containerd
mount -t tmpfs tfleet-lab /run/docker
if [ -d /proc/driver ]; then mount --bind "$folder/proc-driver" /proc/driver; fi
if [ -n "$tree" ]; then
    root=$folder/root
    mkdir -p "$root" "$tree$folder"
    mount --bind "$tree" "$root"
    mount --make-private "$root"
    mkdir -p "$root/mnt"
    for part in proc sys dev; do
        mount --rbind "/$part" "$root/$part"
        mount --make-rslave "$root/$part"
    done
    mount -t tmpfs tfleet-lab "$root/run"
    mkdir -p "$root/run/containerd" "$root/run/docker"
    mount --bind "$folder" "$root$folder"
    cd "$root"
    pivot_root . mnt
    umount --lazy /mnt
fi
"#;

impl Cell {
    pub fn new(
        folder: PathBuf,
        pin: PathBuf,
        network: Option<HostNetwork>,
        tree: Option<PathBuf>,
        control_group: String,
    ) -> Self {
        Self {
            folder,
            pin,
            network,
            tree,
            control_group,
        }
    }

    pub fn control_group(&self) -> &str {
        &self.control_group
    }

    pub fn raise(&self) -> Result<(), LabError> {
        if let Some(network) = &self.network {
            network.raise()?;
        }
        furnish(&self.pin, &self.folder, None)?;
        match &self.tree {
            Some(tree) => furnish(&self.tree_pin(), &self.folder, Some(tree)),
            None => Ok(()),
        }
    }

    /// A command that runs in the cell, with the machine's own files.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.enter(&self.pin);
        command.arg(program);
        command
    }

    /// A command that runs in the cell, with the files of the engine's release.
    pub fn engine_command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.tree {
            Some(_) => self.enter(&self.tree_pin()),
            None => self.enter(&self.pin),
        };
        command.arg(program).env("PATH", PATH);
        command
    }

    /// Kills the containers: whatever is in a control group below the cell's.
    pub fn kill_containers(&self) -> Result<(), LabError> {
        for group in self.control_groups() {
            for pid in processes_in(&group) {
                kill_and_wait(pid, "a container's process")?;
            }
        }
        Ok(())
    }

    /// Ends everything in the cell and takes it down. What has no process id file is found by its namespaces.
    pub fn remove(&self) -> Result<(), LabError> {
        self.kill_containers()?;
        for pid in self.inhabitants() {
            kill_and_wait(pid, "a process in the lab's namespaces")?;
        }
        self.kill_containers()?;
        for group in self.control_groups() {
            remove_tree_of_groups(&group);
            // The lab's own group and the one of all labs, once they are empty.
            for above in group.ancestors().skip(1).take(2) {
                let _ = fs::remove_dir(above);
            }
        }
        self.unpin()?;
        match &self.network {
            Some(network) => network.remove(),
            None => Ok(()),
        }
    }

    /// Holds the mount namespace whose root is the engine's tree.
    fn tree_pin(&self) -> PathBuf {
        let mut pin = self.pin.clone().into_os_string();
        pin.push(".tree");
        PathBuf::from(pin)
    }

    fn enter(&self, pin: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(mount_option(pin));
        if let Some(network) = &self.network {
            // Not `ip netns exec`: that mounts another /sys, and the engine loses its control groups.
            let mut net = OsString::from("--net=");
            net.push(network.path());
            command.arg(net);
        }
        command.arg("--");
        command
    }

    fn unpin(&self) -> Result<(), LabError> {
        unpin(&self.tree_pin())?;
        unpin(&self.pin)
    }

    fn inhabitants(&self) -> Vec<Pid> {
        let network = self.network.as_ref().map(HostNetwork::path);
        let tree_pin = self.tree_pin();
        let own = [
            (Some(self.pin.as_path()), "ns/mnt"),
            (Some(tree_pin.as_path()), "ns/mnt"),
            (network.as_deref(), "ns/net"),
        ];
        let identity = |path: &Path| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        let own: Vec<_> = own
            .into_iter()
            .filter_map(|(path, kind)| Some((identity(path?)?, kind)))
            .collect();
        processes()
            .filter(|pid| {
                own.iter().any(|(wanted, kind)| {
                    identity(Path::new(&format!("/proc/{pid}/{kind}"))) == Some(*wanted)
                })
            })
            .collect()
    }

    /// This cell's group in the one hierarchy of version 2, or in each of version 1.
    fn control_groups(&self) -> Vec<PathBuf> {
        let base = Path::new("/sys/fs/cgroup");
        let below = fs::read_dir(base).into_iter().flatten().flatten();
        std::iter::once(base.to_owned())
            .chain(below.map(|entry| entry.path()))
            .map(|hierarchy| hierarchy.join(self.control_group.trim_start_matches('/')))
            .filter(|group| group.is_dir())
            .collect()
    }
}

/// Makes a mount namespace, with a tree as its root or the machine's own, unless it is there.
fn furnish(pin: &Path, folder: &Path, tree: Option<&Path>) -> Result<(), LabError> {
    if is_mount_point(pin)? {
        return Ok(());
    }
    fs::write(pin, "").map_err(at("make", pin))?;
    let furnished = run(Command::new("unshare")
        .arg(mount_option(pin))
        .args(["--propagation", "private", "sh", "-euc", FURNISH, "furnish"])
        .arg(folder)
        .arg(tree.unwrap_or(Path::new(""))));
    if furnished.is_err() {
        unpin(pin)?;
    }
    furnished.map(drop)
}

fn unpin(pin: &Path) -> Result<(), LabError> {
    while is_mount_point(pin)? {
        run(Command::new("umount").arg("--lazy").arg(pin))?;
    }
    Ok(())
}

fn mount_option(pin: &Path) -> OsString {
    let mut option = OsString::from("--mount=");
    option.push(pin);
    option
}

/// Makes the folder that holds the pins. A mount namespace can be pinned only on a mount that is private.
pub fn raise_pin_folder(folder: &Path) -> Result<(), LabError> {
    if !is_mount_point(folder)? {
        run(Command::new("mount").arg("--bind").args([folder, folder]))?;
        run(Command::new("mount").arg("--make-private").arg(folder))?;
    }
    Ok(())
}

pub fn remove_pin_folder(folder: &Path) -> Result<(), LabError> {
    while is_mount_point(folder)? {
        run(Command::new("umount").arg("--lazy").arg(folder))?;
    }
    Ok(())
}

/// Whether something is mounted exactly there.
fn is_mount_point(path: &Path) -> Result<bool, LabError> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(table).map_err(at("read", table))?;
    let wanted = path.as_os_str();
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|mount_point| OsStr::new(mount_point) == wanted))
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn processes_in(group: &Path) -> Vec<Pid> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<Pid> = own
        .lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        .collect();
    for below in groups_below(group) {
        found.extend(processes_in(&below));
    }
    found
}

fn groups_below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// An empty group that stays behind does no harm, so a refusal is not an error.
fn remove_tree_of_groups(group: &Path) {
    for below in groups_below(group) {
        remove_tree_of_groups(&below);
    }
    let _ = fs::remove_dir(group);
}
