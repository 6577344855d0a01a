//! A log while it grows.

use super::*;
use crate::artifact::Secret;

#[test]
fn what_was_written_reads_back_and_half_a_line_waits_for_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = BuildLog::begin(&path).unwrap();
    log.line("one\ntwo\n");
    let (lines, offset) = read_lines(&path, 0).unwrap();
    let texts: Vec<_> = lines.iter().map(|line| line.line.as_str()).collect();
    assert_eq!(texts, ["one", "two"]);

    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    write!(file, "{} thr", Timestamp::now()).unwrap();
    assert_eq!(read_lines(&path, offset).unwrap(), (Vec::new(), offset));
    writeln!(file, "ee").unwrap();
    assert_eq!(read_lines(&path, offset).unwrap().0[0].line, "three");
}

#[test]
fn secrets_never_reach_the_file_or_the_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = BuildLog::begin(&path).unwrap();
    log.hide(
        Secret::new("the proxy's password", "hunter2-hunter2")
            .into_iter()
            .collect(),
    );
    log.line("GET http://u:hunter2-hunter2@proxy");
    assert_eq!(log.last_lines(), "GET http://u:***@proxy");
    assert!(!fs::read_to_string(&path).unwrap().contains("hunter2"));
}

#[test]
fn a_failure_gets_the_last_lines_only() {
    let folder = tempfile::tempdir().unwrap();
    let log = BuildLog::begin(&folder.path().join("log")).unwrap();
    for number in 0..100 {
        log.line(format!("line {number}"));
    }
    let last = log.last_lines();
    assert_eq!(last.lines().count(), LAST_LINES);
    assert!(last.ends_with("line 99"));
}
