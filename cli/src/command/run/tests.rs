use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    run: Run,
}

/// The restart policy that the coordinator is asked for.
fn asked(arguments: &str) -> RestartPolicy {
    let words = ["run", "train", "--name", "tf", "--all"].into_iter();
    let line = Line::try_parse_from(words.chain(arguments.split_whitespace())).expect(arguments);
    line.run.container.restart_policy(&line.run.command)
}

#[test]
fn a_job_runs_once_and_a_container_that_waits_outlives_a_reboot() {
    assert_eq!(asked(""), RestartPolicy::UnlessStopped);
    assert_eq!(asked("-- python job.py"), RestartPolicy::No);
    assert_eq!(
        asked("--restart always -- python serve.py"),
        RestartPolicy::Always
    );
    assert_eq!(asked("--restart no"), RestartPolicy::No);
}
