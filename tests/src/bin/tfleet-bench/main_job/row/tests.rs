use std::time::Duration;

use super::*;

const MIB: u64 = 1 << 20;

fn sample(seconds: u64, wire_bytes: u64, memory_bytes: u64) -> Sample {
    let peaks = Peaks {
        memory_bytes,
        disk_bytes: 0,
    };
    Sample {
        wall: Duration::from_secs(seconds),
        wire_bytes,
        sender: peaks,
        receiver: peaks,
    }
}

fn round(ours: Sample, against: Sample) -> Round {
    let pair = Pair { ours, against };
    Round {
        first: pair,
        rebuild: pair,
    }
}

#[test]
fn times_are_medians_and_peaks_are_the_highest() {
    let against = sample(40, 1000, MIB);
    let rounds = [(10, 30), (100, 20), (20, 120)]
        .map(|(seconds, mib)| round(sample(seconds, 100, mib * MIB), against));
    let rows = rows(
        &rounds,
        &Peaks {
            memory_bytes: MIB,
            disk_bytes: MIB,
        },
    );
    let wall = &rows[0];
    assert_eq!(
        (wall.ours, wall.times(), wall.met()),
        (20.0, Some(2.0), Some(true))
    );
    let memory = &rows[2];
    assert_eq!(
        (memory.ours, memory.met()),
        ((120 * MIB) as f64, Some(false))
    );
}

#[test]
fn a_rebuild_has_to_be_three_times_faster_with_a_tenth_of_the_bytes() {
    let rounds = [round(sample(20, 100, MIB), sample(40, 1000, MIB))];
    let rows = rows(&rounds, &Peaks::default());
    let met: Vec<_> = rows
        .iter()
        .filter(|row| row.part == Part::Rebuild)
        .map(Row::met)
        .collect();
    assert_eq!(met[..2], [Some(false), Some(true)]);
}

#[test]
fn nothing_has_no_ratio() {
    let rows = rows(
        &[round(sample(1, 1, MIB), sample(1, 1, MIB))],
        &Peaks::default(),
    );
    let disk = rows.iter().find(|row| row.what.contains("disk")).unwrap();
    assert_eq!((disk.times(), disk.met()), (None, None));
}

#[test]
fn an_even_number_of_rounds_has_a_median_between_two() {
    assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
}
