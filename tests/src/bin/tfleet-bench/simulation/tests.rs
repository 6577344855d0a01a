use super::world::simulate;
use super::*;

#[test]
fn eight_hosts_stay_near_the_bound() {
    let report = simulate(&Scenario::eight("8"));
    assert!(
        report.makespan <= 1.25 && report.copies <= 1.3 && report.unfinished == 0,
        "{report:?}"
    );
}

#[test]
fn two_deaths_and_a_slow_host_cost_the_others_little() {
    let report = simulate(&Scenario {
        dying: 2,
        slow: 1,
        ..Scenario::eight("8-faulty")
    });
    assert!(
        report.makespan <= 1.4 && report.slow <= 1.4 && report.unfinished == 0,
        "{report:?}"
    );
}

#[test]
fn liars_and_hosts_that_cannot_be_reached_keep_nobody_from_the_image() {
    let report = simulate(&Scenario {
        liars: 2,
        unreachable: 2,
        ..Scenario::eight("8-liars")
    });
    assert_eq!(report.unfinished, 0);
}

#[test]
fn without_peers_every_host_streams_from_the_coordinator() {
    let report = simulate(&Scenario {
        near: 0,
        far: 0,
        ..Scenario::eight("8-plain")
    });
    assert!(
        (7.9..8.3).contains(&report.copies) && report.makespan < 8.3,
        "{report:?}"
    );
}

#[test]
fn equal_seeds_give_equal_reports() {
    let scenario = Scenario {
        dying: 2,
        slow: 1,
        ..Scenario::eight("8-faulty")
    };
    assert_eq!(simulate(&scenario), simulate(&scenario));
}
