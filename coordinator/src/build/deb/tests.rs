//! What comes out for what comes in.

use super::*;

async fn passed(pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(pieces.len().max(1));
    for piece in pieces {
        sender.try_send(Ok(Bytes::copy_from_slice(piece))).unwrap();
    }
    drop(sender);
    let (out, mut found) = mpsc::channel(4);
    let all = async {
        let mut all: Vec<u8> = Vec::new();
        while let Some(piece) = found.recv().await {
            all.extend(piece?);
        }
        Ok(all)
    };
    tokio::join!(unpacked(receiver, out), all).1
}

#[tokio::test]
async fn what_is_no_package_stays_as_it_is() {
    assert_eq!(passed(&[]).await.unwrap(), b"");
    assert_eq!(passed(&[b"a", b"bc"]).await.unwrap(), b"abc");
    let long: &[u8] = b"0123456789";
    assert_eq!(passed(&[long, long]).await.unwrap(), [long, long].concat());
}

/// A package with one file.
async fn package(content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (root, deb) = (folder.path().join("root"), folder.path().join("x.deb"));
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    std::fs::write(
        root.join("DEBIAN/control"),
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n",
    )
    .unwrap();
    std::fs::write(root.join("hello"), content).unwrap();
    let mut command = Command::new("dpkg-deb");
    let built = command.arg("-b").args([&root, &deb]).output().await;
    assert!(built.unwrap().status.success());
    std::fs::read(&deb).unwrap()
}

#[tokio::test]
async fn of_a_package_come_its_files() {
    let package = package(b"hello").await;
    // The first piece is too short to tell what it is.
    let tar = passed(&[&package[..3], &package[3..]]).await.unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    let paths: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(paths.contains(&"./hello".to_owned()), "{paths:?}");
}

#[tokio::test]
async fn a_broken_package_is_refused_in_the_words_of_dpkg() {
    let error = passed(&[MAGIC, b"nothing that follows is one"]).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("dpkg-deb refuses the package: dpkg-deb:"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reader_that_stops_ends_all_although_more_would_come() {
    let package = package(&[0; 1 << 20]).await;
    let (pieces, receiver) = mpsc::channel(2);
    pieces.send(Ok(package.into())).await.unwrap();
    let (out, files) = mpsc::channel(1);
    drop(files);
    unpacked(receiver, out).await;
    assert!(pieces.is_closed());
}
