//! `tfleet vault`: what is kept to build from again, and bundles for sites that no network reaches.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Subcommand;
use tfleet_proto::model::name::ReleaseQuery;
use tfleet_proto::wire;
use tfleet_proto::wire::export_bundle_request::Request;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Context;
use super::release::parse_release;
use crate::error::{Error, ExitStatus};
use crate::view::progress::{Progress, Step};
use crate::view::vault::{BundleWritten, Imported, Vault as VaultContents};
use crate::view::write_stdout;

const PIECE_BYTES: usize = 1 << 20;
const PIECES_WAITING: usize = 4;

const EXAMPLES: &str = "\
Examples:
  tfleet vault ls
  tfleet vault have                                           # > have.json, at the site without a network
  tfleet vault export train --have have.json -o train.tfleet  # at the other one
  tfleet vault import train.tfleet";

const LIST: &str = "\
Examples:
  tfleet vault ls
  tfleet vault ls --output json";

const HAVE: &str = "\
Examples:
  tfleet vault have  # > have.json";

const EXPORT: &str = "\
What the other site has by its list is left out. A bundle is whole or it is refused; who may import it is who has an
operator's certificate there.

Examples:
  tfleet vault export train -o train.tfleet
  tfleet vault export train:v2 serve --have have.json -o both.tfleet
  tfleet vault export train --wheels -o train.tfleet   # and what it can be built from again";

const IMPORT: &str = "\
Examples:
  tfleet vault import train.tfleet
  tfleet rollout start train --all";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Vault {
    /// What is there: bases, wheels, locks, images
    #[command(after_help = LIST)]
    Ls,
    /// The list of what this site has, for an export at another one
    #[command(after_help = HAVE)]
    Have,
    /// Write releases into a file for another site
    #[command(after_help = EXPORT)]
    Export {
        #[arg(required = true, value_name = "RELEASE", value_parser = parse_release)]
        releases: Vec<ReleaseQuery>,
        /// The other site's list; without it: everything
        #[arg(long, value_name = "FILE")]
        have: Option<PathBuf>,
        /// Also what the variants can be built from again: bases, wheels, the installer
        #[arg(long)]
        wheels: bool,
        /// The bundle
        #[arg(short = 'o', long = "out", value_name = "FILE")]
        out: PathBuf,
    },
    /// Take releases in from such a file
    #[command(after_help = IMPORT)]
    Import {
        /// A file, or - for standard input
        #[arg(value_name = "BUNDLE")]
        bundle: PathBuf,
    },
}

impl Vault {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        match self {
            Self::Ls => list(context).await,
            Self::Have => have(context).await,
            Self::Export {
                releases,
                have,
                wheels,
                out,
            } => {
                let start = wire::ExportBundleStart {
                    releases: releases.iter().map(ToString::to_string).collect(),
                    wheels,
                };
                export(context, start, have.as_deref(), &out).await
            }
            Self::Import { bundle } => import(context, &bundle).await,
        }
    }
}

async fn list(context: &Context) -> Result<ExitStatus, Error> {
    let answer = context
        .connect()
        .await?
        .list_vault(wire::ListVaultRequest {})
        .await
        .map_err(Error::call("look into the vault"))?;
    context
        .output
        .print(&VaultContents::from(answer.into_inner()))?;
    Ok(ExitStatus::Ok)
}

async fn have(context: &Context) -> Result<ExitStatus, Error> {
    let action = "list what this site has";
    let answer = context
        .connect()
        .await?
        .list_have(wire::ListHaveRequest {})
        .await;
    let mut pieces = answer.map_err(Error::call(action))?.into_inner();
    let mut text = Vec::new();
    while let Some(piece) = pieces.message().await.map_err(Error::call(action))? {
        text.extend_from_slice(&piece.data);
    }
    let text = String::from_utf8(text).map_err(|_| Error::Cut { action })?;
    write_stdout(&(text + "\n"))?;
    Ok(ExitStatus::Ok)
}

async fn export(
    context: &Context,
    start: wire::ExportBundleStart,
    have: Option<&Path>,
    out: &Path,
) -> Result<ExitStatus, Error> {
    let action = "export the bundle";
    let (sender, messages) = mpsc::channel(PIECES_WAITING);
    let mut feeding = JoinSet::new();
    let have = match have {
        Some(path) => Some(File::open(path).await.map_err(Error::file("open", path))?),
        None => None,
    };
    let releases = start.releases.clone();
    feeding.spawn(async move {
        let first = Request::Start(start);
        let message = |request| wire::ExportBundleRequest {
            request: Some(request),
        };
        if sender.send(message(first)).await.is_err() {
            return Ok(());
        }
        let Some(file) = have else { return Ok(()) };
        feed(file, "the other site's list", |piece| {
            sender.send(message(Request::Have(piece)))
        })
        .await
    });
    // Whoever finds the file finds all of it.
    let unfinished = out.with_extension("part");
    let mut file = File::create(&unfinished)
        .await
        .map_err(Error::file("create", &unfinished))?;
    let mut operator = context.connect().await?;
    let answer = operator.export_bundle(ReceiverStream::new(messages)).await;
    let pieces = answer.map_err(Error::call(action));
    let written = match pieces {
        Ok(pieces) => save(pieces.into_inner(), &mut file, &unfinished, action).await,
        Err(error) => Err(error),
    };
    let bytes = match beside(&mut feeding, written).await {
        Ok(bytes) => bytes,
        Err(error) => {
            // What stays of it is of no use; the first error is the one to tell.
            let _ = tokio::fs::remove_file(&unfinished).await;
            return Err(error);
        }
    };
    file.sync_all()
        .await
        .map_err(Error::file("write", &unfinished))?;
    tokio::fs::rename(&unfinished, out)
        .await
        .map_err(Error::file("write", out))?;
    let done = BundleWritten {
        bundle: out,
        releases: &releases,
        bytes,
    };
    context.output.report(&done, &done.words())?;
    Ok(ExitStatus::Ok)
}

/// Writes what comes into the file, and says how many bytes it was.
async fn save(
    mut pieces: Streaming<wire::BundlePiece>,
    file: &mut File,
    path: &Path,
    action: &'static str,
) -> Result<u64, Error> {
    let mut progress = Progress::new();
    let name = path.display().to_string();
    let (mut done_bytes, mut total_bytes) = (0, 0);
    loop {
        let piece = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            piece = pieces.message() => piece.map_err(Error::call(action))?,
            () = progress.tick() => continue,
        };
        let Some(piece) = piece else { break };
        total_bytes += piece.total_bytes;
        file.write_all(&piece.data)
            .await
            .map_err(Error::file("write", path))?;
        done_bytes += piece.data.len() as u64;
        let step = Step {
            phase: "exporting",
            activity: "writing".to_owned(),
            done_bytes,
            total_bytes,
        };
        progress.show(&name, step);
    }
    file.flush().await.map_err(Error::file("write", path))?;
    progress.finish(&name, "done");
    Ok(done_bytes)
}

async fn import(context: &Context, bundle: &Path) -> Result<ExitStatus, Error> {
    let action = "import the bundle";
    let name = bundle.display().to_string();
    let (sender, messages) = mpsc::channel(PIECES_WAITING);
    let mut feeding = JoinSet::new();
    let mut total_bytes = 0;
    let message = |data| wire::ImportBundleRequest { data };
    let what = name.clone();
    if bundle == Path::new("-") {
        feeding.spawn(async move {
            feed(tokio::io::stdin(), &what, |piece| {
                sender.send(message(piece))
            })
            .await
        });
    } else {
        let file = File::open(bundle)
            .await
            .map_err(Error::file("open", bundle))?;
        total_bytes = file
            .metadata()
            .await
            .map_err(Error::file("read", bundle))?
            .len();
        feeding.spawn(async move { feed(file, &what, |piece| sender.send(message(piece))).await });
    }
    let mut operator = context.connect().await?;
    let answer = operator.import_bundle(ReceiverStream::new(messages)).await;
    let imported = match answer.map_err(Error::call(action)) {
        Ok(events) => follow(events.into_inner(), &name, total_bytes, action).await,
        Err(error) => Err(error),
    };
    let imported = beside(&mut feeding, imported).await?;
    context.output.print(&Imported::try_from(imported)?)?;
    Ok(ExitStatus::Ok)
}

/// Shows how it goes until the last event.
async fn follow(
    mut events: Streaming<wire::ImportBundleEvent>,
    name: &str,
    total_bytes: u64,
    action: &'static str,
) -> Result<wire::ImportedBundle, Error> {
    let mut progress = Progress::new();
    loop {
        let event = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            event = events.message() => event.map_err(Error::call(action))?,
            () = progress.tick() => continue,
        };
        let event = event.ok_or(Error::Cut { action })?;
        if let Some(imported) = event.imported {
            progress.finish(name, "done");
            return Ok(imported);
        }
        let step = Step {
            phase: "importing",
            activity: "verifying".to_owned(),
            done_bytes: event.done_bytes,
            total_bytes,
        };
        progress.show(name, step);
    }
}

/// Sends what `source` gives piece by piece, until the coordinator wants no more: its answer says why.
async fn feed<S: Future<Output = Result<(), E>>, E>(
    mut source: impl AsyncRead + Unpin,
    name: &str,
    send: impl Fn(Bytes) -> S,
) -> Result<(), Error> {
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        let got = source.read_buf(&mut piece).await;
        if got.map_err(Error::file("read", name))? == 0 || send(piece.freeze()).await.is_err() {
            return Ok(());
        }
    }
}

/// A file that cannot be read breaks the call off: then that is the error to tell.
async fn beside<T>(
    feeding: &mut JoinSet<Result<(), Error>>,
    outcome: Result<T, Error>,
) -> Result<T, Error> {
    if outcome.is_err() {
        while let Some(fed) = feeding.try_join_next() {
            if let Ok(Err(error)) = fed {
                return Err(error);
            }
        }
    }
    outcome
}
