//! Each error says what failed, why and what next, and ends the command with its own status.

use super::*;

fn refused_with(code: Code) -> Error {
    Error::call("list the hosts")(Status::new(code, "because so"))
}

#[test]
fn the_coordinators_answer_decides_the_exit_status() {
    for (code, status) in [
        (Code::InvalidArgument, ExitStatus::Usage),
        (Code::Unavailable, ExitStatus::Unreachable),
        (Code::Unauthenticated, ExitStatus::Unreachable),
        (Code::NotFound, ExitStatus::NotFound),
        (Code::FailedPrecondition, ExitStatus::Refused),
        (Code::AlreadyExists, ExitStatus::Refused),
        (Code::Internal, ExitStatus::Failed),
    ] {
        assert_eq!(refused_with(code).exit_status(), status, "{code:?}");
    }
}

#[test]
fn what_failed_and_why_are_two_sentences() {
    let error = refused_with(Code::NotFound);
    assert_eq!(error.to_string(), "cannot list the hosts");
    assert_eq!(error.why().as_deref(), Some("because so"));
}

#[test]
fn a_broken_connection_is_told_apart_from_an_internal_error_of_the_coordinator() {
    let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
    let error = Error::call("watch the hosts")(broken);
    assert_eq!(error.exit_status(), ExitStatus::Unreachable);
    assert!(
        error
            .why()
            .is_some_and(|why| why.starts_with("the connection to the coordinator broke"))
    );
    assert!(
        error
            .remedy()
            .is_some_and(|remedy| remedy.contains("tfleet-coordinator runs"))
    );
}

#[test]
fn missing_credentials_name_the_places_and_the_way_to_get_some() {
    let error = Error::NoCredentials {
        looked_at: vec![PathBuf::from("/a"), PathBuf::from("/b")],
    };
    assert!(error.why().is_some_and(|why| why.ends_with("/a, /b")));
    assert!(
        error
            .remedy()
            .is_some_and(|remedy| remedy.contains("tfleet operator issue"))
    );
    assert_eq!(error.exit_status().code(), 3);
}
