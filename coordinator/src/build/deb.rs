//! Debian packages that come in: `dpkg-deb` tells their files as a tar stream, as a root file system comes.

use std::io;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::mpsc;

/// How an `ar` archive begins, which every Debian package is (deb(5)).
const MAGIC: &[u8] = b"!<arch>\n";

const PIECE_BYTES: usize = 256 << 10;

/// Hands `pieces` on: the files of a Debian package, anything else as it is.
pub async fn unpacked(
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
    out: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut head = BytesMut::new();
    while head.len() < MAGIC.len() {
        match pieces.recv().await {
            Some(Ok(piece)) => head.extend_from_slice(&piece),
            Some(Err(error)) => return drop(out.send(Err(error)).await),
            None => break,
        }
    }
    let head = head.freeze();
    let passed = if head.starts_with(MAGIC) {
        files(head, pieces, &out).await
    } else {
        as_it_is(head, pieces, &out).await
    };
    if let Err(error) = passed {
        // Whoever does not read any more has its own error.
        let _ = out.send(Err(error)).await;
    }
}

async fn as_it_is(
    head: Bytes,
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
    out: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut next = Some(Ok(head));
    while let Some(piece) = next {
        if out.send(Ok(piece?)).await.is_err() {
            break;
        }
        next = pieces.recv().await;
    }
    Ok(())
}

async fn files(
    head: Bytes,
    mut pieces: mpsc::Receiver<io::Result<Bytes>>,
    out: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut child = Command::new("dpkg-deb")
        .args(["--fsys-tarfile", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| named("cannot be started", error))?;
    let (Some(mut input), Some(mut output), Some(mut errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let feed = async move {
        let mut next = Some(Ok(head));
        while let Some(piece) = next {
            // One that stops reading says why on its standard error.
            if input.write_all(&piece?).await.is_err() {
                break;
            }
            next = pieces.recv().await;
        }
        Ok::<_, io::Error>(())
    };
    let drain = async {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            if output.read_buf(&mut piece).await? == 0 {
                return Ok::<_, io::Error>(());
            }
            if out.send(Ok(piece.freeze())).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    };
    let mut words = String::new();
    // The first that fails ends all, and the program with them: one that nobody reads from would not end by itself.
    tokio::try_join!(feed, drain, errors.read_to_string(&mut words))?;
    if child.wait().await?.success() {
        return Ok(());
    }
    let words = words.trim().to_owned();
    Err(named("refuses the package", io::Error::other(words)))
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("dpkg-deb {what}: {error}"))
}

#[cfg(test)]
mod tests;
