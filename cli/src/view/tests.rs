//! The tables as people see them, and the lines of progress.

use std::time::Duration;

use super::change::{HostResult, HostResults, Outcome};
use super::container::{Container, Containers};
use super::plan::{Assignment, Plan, PlannedVariant, Unplaced};
use super::progress::{Step, line};
use super::*;
use tfleet_proto::model::desired::DesiredPhase;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::status::{ContainerPhase, ContainerStatus};

fn plain(value: &impl Tabular) -> String {
    Output {
        format: Format::Table,
        width: None,
        colour: false,
    }
    .tables(value)
}

fn plan() -> Plan {
    let variant = |id: &str, tensorflow: &str, cuda: Option<&str>| PlannedVariant {
        id: id.to_owned(),
        tensorflow: tensorflow.to_owned(),
        cuda: cuda.map(str::to_owned),
        cudnn: cuda.map(|_| "8.9".to_owned()),
        python: "3.11".to_owned(),
        base: "bookworm".to_owned(),
        architecture: "x86_64".to_owned(),
        compat_package: None,
    };
    let assignment = |host: &str, variant: &str, compatibility: &str, reason: &str| Assignment {
        host: host.to_owned(),
        variant: variant.to_owned(),
        compatibility: compatibility.to_owned(),
        reason: reason.to_owned(),
        left_out_gpus: Vec::new(),
    };
    Plan {
        variants: vec![
            variant("tf2.15.1-cuda12.2", "2.15.1", Some("12.2")),
            variant("tf2.14.1-cuda11.8", "2.14.1", Some("11.8")),
            variant("tf2.15.1-cpu", "2.15.1", None),
        ],
        assignments: vec![
            assignment(
                "a100",
                "tf2.15.1-cuda12.2",
                "native",
                "driver 535.183.01 supports CUDA 12.2",
            ),
            assignment(
                "t4",
                "tf2.14.1-cuda11.8",
                "minor",
                "driver 470.256.02 runs CUDA 11.x from 11.4 on",
            ),
        ],
        unplaced: vec![Unplaced {
            host: "k80".to_owned(),
            reason: "compute capability 3.7 has no code in TensorFlow 2.14".to_owned(),
            remedy: "use TensorFlow 2.12 or older".to_owned(),
        }],
        exact: true,
        ..Plan::default()
    }
}

#[test]
fn long_texts_stand_once_below_the_table() {
    let row = |fact: &str, source: &str| vec![Cell::from(fact), Cell::from(source)];
    let rows = [row("one", "x"), row("two", "y"), row("three", "x")];
    let grid = Grid::new(["FACT", "SOURCE"]).with_rows(rows).noting(1);
    let table = grid.to_table(None, false);
    assert_eq!(
        table,
        "FACT   SOURCE\none    [1]\ntwo    [2]\nthree  [1]\n[1] x\n[2] y\n"
    );
    assert_eq!(grid.to_text(), "one\tx\ntwo\ty\nthree\tx\n");
}

#[test]
fn names_do_not_break_where_prose_can() {
    let narrow = |width| {
        let output = Output {
            format: Format::Table,
            width: Some(width),
            colour: false,
        };
        output.tables(&plan())
    };
    let table = narrow(60);
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("a100  tf2.15.1-cuda12.2  native ")),
        "{table}"
    );
    assert!(
        table.lines().all(|line| line.chars().count() <= 60),
        "{table}"
    );
}

#[test]
fn a_plan_shows_variants_then_hosts_then_who_is_left_out() {
    insta::assert_snapshot!(plain(&plan()));
}

#[test]
fn results_are_listed_host_by_host() {
    let result = |host: &str, outcome| HostResult {
        host: host.to_owned(),
        variant: Some("tf2.15.1-cpu".to_owned()),
        outcome,
    };
    let failure = Failure::new("policy-refused", "the host does not allow binding /etc")
        .with_rule("bind_prefixes")
        .with_remedy("ask the host's owner");
    let results = HostResults(vec![
        result(
            "a100",
            Outcome::Done {
                detail: "running".to_owned(),
            },
        ),
        result("t4", Outcome::Failed { failure }),
        result("cpu", Outcome::Pending),
    ]);
    assert!(!results.all_well());
    insta::assert_snapshot!(plain(&results));
    insta::assert_snapshot!(json(&results, false).expect("json"));
}

#[test]
fn containers_show_what_they_are_and_shall_be() {
    let container = |host: &str, connected, phase, exit_code| Container {
        host: host.parse().expect("host"),
        host_connected: connected,
        name: "tf".to_owned(),
        release: Some("train:v1".parse().expect("release")),
        variant: Some("tf2.15.1-cpu".parse().expect("variant")),
        desired: Some(DesiredPhase::Running),
        status: Some(ContainerStatus {
            name: "tf".to_owned(),
            phase,
            container_id: None,
            release: None,
            variant: None,
            exit_code,
            started_at: None,
            finished_at: None,
            failure: None,
            gpu_mode: None,
            ports: Vec::new(),
            restart_serial: 0,
            command: Vec::new(),
        }),
    };
    insta::assert_snapshot!(plain(&Containers(vec![
        container("a100", true, ContainerPhase::Running, None),
        container("t4", true, ContainerPhase::Exited, Some(137)),
        container("v100", true, ContainerPhase::Restarting, Some(1)),
        container("cpu", false, ContainerPhase::Running, None),
        Container {
            status: None,
            ..container("new", true, ContainerPhase::Pending, None)
        },
    ])));
}

#[test]
fn an_empty_table_says_what_to_do() {
    insta::assert_snapshot!(plain(&host::Hosts(Vec::new())));
}

#[test]
fn text_has_a_line_for_each_row_and_tabs_between_columns() {
    let text: String = plan().grids().iter().map(Grid::to_text).collect();
    assert!(
        text.starts_with("tf2.15.1-cuda12.2\t2.15.1\t12.2\t8.9\t"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn colours_are_there_only_when_asked_for() {
    let grid = Grid::new(["A"]).with_rows([vec![Cell::from("x").toned(Tone::Bad)]]);
    assert!(grid.to_table(None, true).contains("\x1b["));
    assert!(!grid.to_table(None, false).contains('\x1b'));
}

#[test]
fn a_line_of_progress_tells_how_much_how_fast_and_how_long() {
    let step = Step {
        phase: "transferring",
        activity: String::new(),
        done_bytes: 3 << 30,
        total_bytes: 5 << 30,
    };
    assert_eq!(
        line(&step, Duration::from_secs(20), 1 << 30),
        "transferring, 3.0 GiB of 5.0 GiB, 102.4 MiB/s, 20s left"
    );
    let silent = Step {
        phase: "building",
        activity: "step 3/7".to_owned(),
        done_bytes: 0,
        total_bytes: 0,
    };
    assert_eq!(
        line(&silent, Duration::from_secs(65), 0),
        "building: step 3/7, for 65s"
    );
    let all_there = Step {
        done_bytes: 5 << 30,
        ..step.clone()
    };
    assert_eq!(
        line(&all_there, Duration::from_secs(20), 0),
        "transferring, 5.0 GiB, finishing"
    );
    let only_begun = Step {
        done_bytes: 0,
        ..step.clone()
    };
    assert_eq!(
        line(&only_begun, Duration::from_secs(20), 0),
        "transferring, 0 B of 5.0 GiB, for 20s"
    );
    // More than was guessed: nobody knows how much is left.
    let beyond = Step {
        done_bytes: 6 << 30,
        ..step
    };
    assert_eq!(
        line(&beyond, Duration::from_secs(20), 1 << 30),
        "transferring, 6.0 GiB, 256.0 MiB/s"
    );
}

#[test]
fn what_has_nothing_to_show_is_a_document_for_programs() {
    let host: tfleet_proto::model::name::HostName = "t4".parse().expect("host");
    let bundle = done::BundleWritten {
        host: &host,
        bundle: "t4.run".as_ref(),
        architecture: "x86_64",
        token_ends_at: jiff::Timestamp::UNIX_EPOCH,
    };
    assert_eq!(
        json(&bundle, false).expect("json"),
        r#"{"host":"t4","bundle":"t4.run","architecture":"x86_64","token_ends_at":"1970-01-01T00:00:00Z"}"#.to_owned()
            + "\n"
    );
    let line = done::BuildLogLine {
        variant: "tf2.15.1-cpu",
        line: "said \"x\"",
    };
    assert_eq!(
        json(&line, false).expect("json"),
        "{\"variant\":\"tf2.15.1-cpu\",\"line\":\"said \\\"x\\\"\"}\n"
    );
}
