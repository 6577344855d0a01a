//! The Debian base that most builds here stand on: bootstrapped once by the coordinator's own code, kept, and copied into
//! each test's store, since every test would spend half a minute on the same one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tfleet_coordinator::build::Additions;
use tfleet_proto::model::digest::Digest;
use tfleet_tests::lab::{TestLab, run};

use super::workshop::{Workshop, site};

const FOLDER: &str = "/var/cache/tfleet-lab/bases";
/// Other code makes another base.
const CODE: &str = concat!(
    include_str!("../../../../coordinator/src/build/base.rs"),
    include_str!("../../../../coordinator/src/build/base/bootstrap.rs"),
    include_str!("../../../../coordinator/src/artifact/chunk.rs"),
);
/// The artifact store and the records that name its base.
const PARTS: [&str; 2] = ["artifacts", "builds/bases"];

/// Puts the base into a coordinator's data folder that has nothing in it yet.
pub async fn lay(data: &Path, lab: &TestLab) {
    fs::create_dir_all(FOLDER).unwrap();
    let lock = File::create(Path::new(FOLDER).join("lock")).unwrap();
    lock.lock().unwrap();
    let kept = Path::new(FOLDER).join(Digest::of(CODE.as_bytes()).short());
    if !kept.exists() {
        bootstrap(&kept, lab).await;
    }
    copy(&kept, data);
}

async fn bootstrap(kept: &Path, lab: &TestLab) {
    let workshop = Workshop::empty(lab, site());
    // A build takes its base before it looks for packages that there are not.
    let order = workshop.order(&["six==0.0.1"], Additions::default());
    let failure = workshop.build(&order).await.unwrap_err();
    assert!(failure.message.contains("six==0.0.1"), "{failure}");
    let unfinished = kept.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).unwrap();
    }
    fs::create_dir(&unfinished).unwrap();
    copy(workshop.folder.path(), &unfinished);
    fs::rename(&unfinished, kept).unwrap();
}

fn copy(from: &Path, to: &Path) {
    for part in PARTS {
        let target: PathBuf = to.join(part);
        fs::create_dir_all(&target).unwrap();
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--reflink=auto"]);
        run(copy.arg(from.join(part).join(".")).arg(target)).unwrap();
    }
}
