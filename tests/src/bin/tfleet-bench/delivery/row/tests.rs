use std::time::Duration;

use super::*;

const MIB: u64 = 1 << 20;

fn sample(seconds: u64, moved_bytes: u64, written_bytes: u64) -> Sample {
    Sample {
        wall: Duration::from_secs(seconds),
        moved_bytes,
        written_bytes: Some(written_bytes),
        own: None,
    }
}

fn passes(way: Way, sample: Sample) -> Pass {
    Pass {
        way,
        first: sample,
        rebuild: sample,
    }
}

/// Every other way takes 40 s, moves 1000 bytes and writes 2000.
fn others() -> Vec<Pass> {
    let others = Way::ALL.into_iter().filter(|way| *way != Way::Tfleet);
    others
        .map(|way| passes(way, sample(40, 1000, 2000)))
        .collect()
}

fn find<'a>(rows: &'a [Row], part: Part, what: &str, against: &str) -> &'a Row {
    rows.iter()
        .find(|row| {
            let name = row.against.map(|against| against.name);
            (row.part, row.what.as_str(), name) == (part, what, Some(against))
        })
        .unwrap()
}

#[test]
fn times_are_medians_and_the_floor_is_a_ratio_the_other_way_round() {
    let mut all = others();
    all.extend([10, 100, 44].map(|seconds| passes(Way::Tfleet, sample(seconds, 400, 1))));
    let rows = rows(&all, &Peaks::default());
    let floor = find(&rows, Part::First, "wall time", Way::Archive.name());
    assert_eq!((floor.ours, floor.ratio()), (44.0, Some(1.1)));
    assert_eq!(floor.met(), Some(true));
    let skopeo = find(&rows, Part::First, "wall time", Way::Skopeo.name());
    assert_eq!(skopeo.met(), Some(false));
    // Two percent of the image's bytes.
    let moved = find(&rows, Part::Rebuild, "bytes to the host", "the image");
    assert_eq!((moved.ratio(), moved.met()), (Some(0.4), Some(false)));
}

#[test]
fn what_is_written_is_measured_against_the_engine_and_one_compressed_copy() {
    let written = |bytes| {
        let mut all = others();
        all.push(passes(Way::Tfleet, sample(1, 400, bytes)));
        let rows = rows(&all, &Peaks::default());
        let against = "the engine's own + one compressed copy";
        let row = find(&rows, Part::First, "written to disk", against);
        (row.against.unwrap().value, row.met())
    };
    assert_eq!(written(2400), (2400.0, Some(true)));
    assert_eq!(written(2401), (2400.0, Some(false)));
}

#[test]
fn without_a_disk_of_its_own_nothing_is_said_of_writes() {
    let mut all = others();
    all.push(passes(Way::Tfleet, sample(1, 400, 1)));
    for pass in &mut all {
        pass.first.written_bytes = None;
    }
    let rows = rows(&all, &Peaks::default());
    assert!(rows.iter().all(|row| row.what != "written to disk"));
}

#[test]
fn peaks_are_the_highest_of_all_rounds() {
    let own = |mib| {
        let peaks = |memory_bytes| Peaks {
            memory_bytes,
            disk_bytes: 0,
        };
        Some(Own {
            agent: peaks(mib * MIB),
            coordinator: peaks(MIB),
        })
    };
    let mut all = others();
    all.extend([30, 120].map(|mib| {
        let sample = Sample {
            own: own(mib),
            ..sample(1, 1, 1)
        };
        passes(Way::Tfleet, sample)
    }));
    let rows = rows(&all, &Peaks::default());
    let agent = rows
        .iter()
        .find(|row| row.what == "peak memory, agent")
        .unwrap();
    assert_eq!((agent.ours, agent.met()), ((120 * MIB) as f64, Some(false)));
}

#[test]
fn an_even_number_of_rounds_has_a_median_between_two_and_none_has_none() {
    assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(Vec::new()), None);
}
