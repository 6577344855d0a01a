//! Needs against free space.

use super::*;

const GB: u64 = 1_000_000_000;

fn need(folder: &str, bytes: u64, device: u64, free_bytes: u64) -> (Need, Disk) {
    let disk = Disk {
        device,
        free_bytes,
        spare_bytes: GB,
    };
    (Need::new(Path::new(folder), bytes), disk)
}

#[test]
fn needs_on_one_disk_add_up_and_its_spare_counts_once() {
    let demands = demands(&[
        need("/data", 2 * GB, 7, 12 * GB),
        need("/engine", 9 * GB, 7, 12 * GB),
    ]);
    let expected = Demand {
        folder: "/data".into(),
        needed_bytes: 12 * GB,
        free_bytes: 12 * GB,
    };
    assert_eq!(demands, [expected]);
    assert!(demands[0].is_met(), "to the last byte");
}

#[test]
fn each_disk_is_judged_by_its_own_free_space() {
    let demands = demands(&[
        need("/data", 2 * GB, 7, 100 * GB),
        need("/engine", 9 * GB, 8, 9 * GB),
    ]);
    let met: Vec<_> = demands
        .iter()
        .map(|demand| (demand.folder.to_str().unwrap(), demand.is_met()))
        .collect();
    assert_eq!(met, [("/data", true), ("/engine", false)]);
}

#[test]
fn what_needs_nothing_still_leaves_the_spare() {
    assert!(!demands(&[need("/data", 0, 7, GB - 1)])[0].is_met());
    assert!(demands(&[need("/data", 0, 7, GB)])[0].is_met());
    assert!(!demands(&[need("/data", u64::MAX, 7, GB)])[0].is_met());
}

#[test]
fn a_disk_that_cannot_hold_it_is_named_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let error = check(vec![Need::new(folder.path(), 1 << 60)], None).unwrap_err();
    let failure = error.failure();
    assert_eq!(failure.code, "disk-full");
    let sentence = failure.message;
    assert!(sentence.contains(&folder.path().display().to_string()));
    assert!(sentence.contains("GB are needed") && sentence.contains("GB are free"));
    check(vec![Need::new(folder.path(), 1)], None).unwrap();
}
