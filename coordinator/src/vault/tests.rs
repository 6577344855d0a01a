//! The vault's folders, also after a crash and with a damaged file.

use std::fs;
use std::io::Cursor;

use super::*;

struct Here {
    vault: Vault,
    folder: tempfile::TempDir,
}

impl Here {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        Self { vault, folder }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("wheels")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_is_kept_has_its_digest_for_a_name_and_is_one_file_however_often_it_comes() {
    let here = Here::open();
    for _ in 0..2 {
        let kept = here
            .vault
            .keep(Kind::Wheel, &mut Cursor::new(b"a wheel"))
            .unwrap();
        assert_eq!(kept.digest, Digest::of(b"a wheel"));
        assert_eq!(kept.size_bytes, 7);
        assert_eq!(
            here.vault.verify(Kind::Wheel, &kept.digest).unwrap(),
            Some(kept)
        );
    }
    assert_eq!(here.names(), [Digest::of(b"a wheel").hex()]);
}

#[test]
fn other_bytes_than_those_that_are_wanted_leave_nothing() {
    let here = Here::open();
    let wanted = Digest::of(b"this");
    let kept = here
        .vault
        .keep_as(Kind::Wheel, &wanted, &mut Cursor::new(b"that"));
    assert!(matches!(kept, Err(VaultError::Other { found, .. }) if found == Digest::of(b"that")));
    assert!(here.names().is_empty());
    assert_eq!(here.vault.verify(Kind::Wheel, &wanted).unwrap(), None);
}

/// The steps of keeping a file, the process killed after each of them.
#[test]
fn a_crash_between_any_two_steps_leaves_only_whole_files() {
    let digest = Digest::of(b"a wheel");
    // While it is written, also by a program in a folder of its own.
    let here = Here::open();
    let (path, mut file) = {
        let unfinished = here.vault.unfinished(Kind::Wheel).unwrap();
        let (file, path) = unfinished.keep().unwrap();
        (path, file)
    };
    file.write_all(b"a wh").unwrap();
    let workplace = here.vault.workplace().unwrap().keep();
    fs::write(workplace.join("a-1.0-py3-none-any.whl"), b"a wheel").unwrap();
    let again = Vault::open(here.folder.path()).unwrap();
    assert!(here.names().is_empty(), "{:?}", here.names());
    assert!(!path.exists() && !workplace.exists());
    assert_eq!(again.verify(Kind::Wheel, &digest).unwrap(), None);

    // Once it has its name.
    let workplace = again.workplace().unwrap().keep();
    let wheel = workplace.join("a-1.0-py3-none-any.whl");
    fs::write(&wheel, b"a wheel").unwrap();
    again.take(Kind::Wheel, &wheel).unwrap();
    let again = Vault::open(here.folder.path()).unwrap();
    assert_eq!(here.names(), [digest.hex()]);
    assert!(again.verify(Kind::Wheel, &digest).unwrap().is_some());
}

#[test]
fn a_damaged_file_loses_its_name_and_can_come_again() {
    let here = Here::open();
    let kept = here
        .vault
        .keep(Kind::Wheel, &mut Cursor::new(b"a wheel"))
        .unwrap();
    let path = here.vault.path(Kind::Wheel, &kept.digest);
    fs::write(&path, b"a whee!").unwrap();
    assert_eq!(here.vault.verify(Kind::Wheel, &kept.digest).unwrap(), None);
    assert!(!path.exists());
    assert!(here.vault.kept(Kind::Wheel).unwrap().is_empty());
    here.vault
        .keep(Kind::Wheel, &mut Cursor::new(b"a wheel"))
        .unwrap();
    assert_eq!(here.vault.kept(Kind::Wheel).unwrap(), [kept]);
}

#[test]
fn a_lock_is_read_back_only_as_it_was_written() {
    let here = Here::open();
    let kept = here
        .vault
        .keep(Kind::Lock, &mut Cursor::new(b"{}"))
        .unwrap();
    assert_eq!(here.vault.lock(&kept.digest).unwrap().unwrap(), b"{}");
    fs::write(here.vault.path(Kind::Lock, &kept.digest), b"[]").unwrap();
    assert_eq!(here.vault.lock(&kept.digest).unwrap(), None);
    assert_eq!(here.vault.lock(&Digest::of(b"none")).unwrap(), None);
}
