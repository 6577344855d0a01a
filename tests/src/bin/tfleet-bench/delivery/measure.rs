//! What happens meanwhile: the peaks of a process and its folder, and what the disk writes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

/// The highest of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Resident memory, mapped files included.
    pub memory_bytes: u64,
    /// Blocks that the folder's files take; zero without a folder.
    pub disk_bytes: u64,
}

/// Looks at one process until it is told to stop.
pub struct Watch {
    /// Dropped to tell it.
    stop: Sender<()>,
    thread: JoinHandle<Peaks>,
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A store has some hundred files: asking for all of them is work that would be measured, too.
const DISK_EVERY: u32 = 5;

impl Watch {
    /// Begins with peaks of zero. The process's own high-water mark is set back, so that an earlier peak does not count.
    pub fn start(pid: i32, folder: Option<PathBuf>) -> Result<Self> {
        let clear = format!("/proc/{pid}/clear_refs");
        // proc(5): "5" sets the peak resident set size back to the current one.
        fs::write(&clear, "5").with_context(|| format!("cannot set the peak back in {clear}"))?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || watch(pid, folder.as_deref(), &stopped));
        Ok(Self { stop, thread })
    }

    /// The peaks until now.
    pub fn end(self) -> Result<Peaks> {
        drop(self.stop);
        let peaks = self
            .thread
            .join()
            .map_err(|_| anyhow!("the measuring thread panicked"))?;
        if peaks.memory_bytes == 0 {
            bail!("the process was gone before its memory could be read");
        }
        Ok(peaks)
    }
}

impl Peaks {
    pub fn or_higher(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            disk_bytes: self.disk_bytes.max(other.disk_bytes),
        }
    }
}

fn watch(pid: i32, folder: Option<&Path>, stopped: &Receiver<()>) -> Peaks {
    let mut peaks = Peaks::default();
    for look in 0_u32.. {
        let last = stopped.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout);
        let due = last || look % DISK_EVERY == 0;
        peaks = peaks.or_higher(Peaks {
            // A process that has ended keeps what was seen of it.
            memory_bytes: peak_memory(pid).unwrap_or(0),
            disk_bytes: folder.filter(|_| due).map_or(0, disk),
        });
        if last {
            break;
        }
    }
    peaks
}

/// `VmHWM` of proc(5).
fn peak_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What vanishes while one looks is not there any more.
fn disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk(&entry.path()),
            // stat(2): blocks of 512 bytes, whatever the file system's own. A file with several names counts once.
            Ok(metadata) => metadata.blocks() * 512 / metadata.nlink().max(1),
            Err(_) => 0,
        })
        .sum()
}

/// Counts what the disk below a folder writes, whoever caused it.
pub struct DiskWrites {
    /// The block device's statistics. None: the folder is on none, or not directly.
    statistics: Option<PathBuf>,
    before: u64,
}

impl DiskWrites {
    /// Begins when all that was written before is on the disk.
    pub fn start(folder: &Path) -> Result<Self> {
        let device = fs::metadata(folder)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        let statistics = path.exists().then_some(path);
        rustix::fs::sync();
        let before = written(statistics.as_deref())?;
        Ok(Self { statistics, before })
    }

    /// The bytes until all is on the disk.
    pub fn end(self) -> Result<Option<u64>> {
        rustix::fs::sync();
        let after = written(self.statistics.as_deref())?;
        Ok(self.statistics.map(|_| after - self.before))
    }
}

/// The seventh number of the kernel's `Documentation/block/stat.rst`: sectors of 512 bytes that were written.
fn written(statistics: Option<&Path>) -> Result<u64> {
    let Some(path) = statistics else { return Ok(0) };
    let text = fs::read_to_string(path)?;
    let sectors = text.split_whitespace().nth(6);
    let sectors: u64 = sectors
        .with_context(|| format!("{} has too few numbers", path.display()))?
        .parse()?;
    Ok(sectors * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_of_this_process_and_a_folder_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let watch = Watch::start(pid, Some(folder.path().to_owned())).unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), vec![1; 1 << 20]).unwrap();
        let touched = vec![1_u8; 64 << 20];
        let peaks = watch.end().unwrap();
        assert!(peaks.memory_bytes > touched.len() as u64, "{peaks:?}");
        assert!(peaks.disk_bytes >= 1 << 20, "{peaks:?}");
    }

    #[test]
    fn what_is_written_to_a_disk_is_counted() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let writes = DiskWrites::start(folder.path()).unwrap();
        fs::write(folder.path().join("file"), vec![1; 4 << 20]).unwrap();
        // Without a disk of its own nothing is said.
        if let Some(bytes) = writes.end().unwrap() {
            assert!(bytes >= 4 << 20, "{bytes}");
        }
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        assert!(Watch::start(i32::MAX, None).is_err());
    }
}
