use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_file_that_is_written_is_read_back_and_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    assert_eq!(read(&path).unwrap(), None);
    write(&path, b"first, and longer", Access::Everybody).unwrap();
    write(&path, b"second", Access::Everybody).unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), b"second");
}

#[test]
fn a_temporary_file_left_by_a_death_is_no_obstacle_and_never_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    write(&path, b"old", Access::Owner).unwrap();
    fs::write(temporary_name(&path), b"half of the ne").unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), b"old");
    write(&path, b"new", Access::Owner).unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), b"new");
    assert!(!temporary_name(&path).exists());
}

#[test]
fn what_is_its_owners_is_readable_by_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    write(&path, b"secret", Access::Owner).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn an_error_names_the_operation_and_the_path() {
    let error = write(Path::new("/nonexistent/folder/file"), b"", Access::Owner).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create /nonexistent/folder/file.new"
    );
}
