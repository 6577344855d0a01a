//! `tfleet image` and `tfleet base`: what others built comes in.

use std::path::Path;

use clap::Subcommand;
use tfleet_proto::model::name::ReleaseName;
use tfleet_proto::wire;
use tfleet_proto::wire::add_image_request::Request;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Context;
use super::plan::parse_release_name;
use crate::error::{Error, ExitStatus};
use crate::view::done::BaseImported;
use crate::view::progress::{Progress, Step};
use crate::view::release::Release;
use crate::view::{Format, note};

const PIECE_BYTES: usize = 1 << 20;

const IMAGE: &str = "\
Examples:
  tfleet image add ours.tar --name ours
  tfleet image add registry.example/team/serving:3 --name serving --needs-gpu --cuda 12.2";

const BASE: &str = "\
Examples:
  tfleet base import bookworm.tar --name bookworm
  tfleet base import cuda-compat-12-8_570.124.06-1_amd64.deb --name cuda-compat-12-8
  tfleet base import debian:12 --name debian";

#[derive(Debug, Subcommand)]
#[command(after_help = IMAGE)]
pub(super) enum Image {
    /// Take an image that others built: a `docker save` archive, or an image of the builder's engine
    #[command(after_help = IMAGE)]
    Add {
        /// A file, - for standard input, or else the name of an image in the builder's engine
        #[arg(value_name = "TAR|ENGINE-IMAGE")]
        source: String,
        /// The release that it becomes
        #[arg(long, value_parser = parse_release_name)]
        name: ReleaseName,
        /// The hosts that it is meant for need a GPU
        #[arg(long)]
        needs_gpu: bool,
        /// The CUDA version inside, for the hosts' own check
        #[arg(long, default_value = "", hide_default_value = true)]
        cuda: String,
    },
}

#[derive(Debug, Subcommand)]
#[command(after_help = BASE)]
pub(super) enum Base {
    /// Bring a root file system or an image archive in as a base for builds, or NVIDIA's cuda-compat package under its own name
    #[command(after_help = BASE)]
    Import {
        /// A file, - for standard input, or else the name of an image in the builder's engine
        #[arg(value_name = "TAR|DEB|ENGINE-IMAGE")]
        source: String,
        #[arg(long)]
        name: String,
    },
}

impl Image {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let Self::Add {
            source,
            name,
            needs_gpu,
            cuda,
        } = self;
        let start = wire::AddImageStart {
            name: name.to_string(),
            needs_gpu,
            cuda,
            ..wire::AddImageStart::default()
        };
        let upload = Upload::of(&source, start).await?;
        let mut operator = context.connect().await?;
        let action = "add the image";
        let answer = operator
            .add_image(ReceiverStream::new(upload.messages))
            .await;
        let last = follow(
            answer.map_err(Error::call(action))?.into_inner(),
            &source,
            upload.total_bytes,
            action,
        );
        let last = upload.feeding.beside(last).await?;
        let release = last.release.ok_or(Error::Cut { action })?;
        context.output.print(&Release::try_from(release)?)?;
        Ok(ExitStatus::Ok)
    }
}

impl Base {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let Self::Import { source, name } = self;
        let start = wire::AddImageStart {
            name,
            ..wire::AddImageStart::default()
        };
        let upload = Upload::of(&source, start).await?;
        let mut operator = context.connect().await?;
        let action = "import the base";
        let answer = operator
            .import_base(ReceiverStream::new(upload.messages))
            .await;
        let last = follow(
            answer.map_err(Error::call(action))?.into_inner(),
            &source,
            upload.total_bytes,
            action,
        );
        let last = upload.feeding.beside(last).await?;
        if context.output.format != Format::Json {
            note("build on it with --base:");
        }
        let base = &last.base;
        context.output.print_line(&BaseImported { base }, base)?;
        Ok(ExitStatus::Ok)
    }
}

/// The messages of an upload, and the task that fills them from a file.
struct Upload {
    messages: mpsc::Receiver<wire::AddImageRequest>,
    feeding: Feeding,
    /// Zero: unknown.
    total_bytes: u64,
}

struct Feeding(tokio::task::JoinSet<Result<(), Error>>);

impl Upload {
    async fn of(source: &str, mut start: wire::AddImageStart) -> Result<Self, Error> {
        let path = Path::new(source);
        let from_stdin = source == "-";
        let is_file = from_stdin
            || tokio::fs::try_exists(path)
                .await
                .map_err(Error::file("look for", path))?;
        if !is_file {
            if [".tar", ".deb"].iter().any(|end| source.ends_with(end))
                || source.starts_with(['/', '.'])
            {
                return Err(Error::Usage(format!("there is no file {source}")));
            }
            start.engine_image = source.to_owned();
        }
        let (sender, messages) = mpsc::channel(4);
        let first = wire::AddImageRequest {
            request: Some(Request::Start(start)),
        };
        // The queue has room for the first message, and its receiver is right here.
        sender.try_send(first).map_err(|_| Error::Cut {
            action: "send the image",
        })?;
        let mut feeding = tokio::task::JoinSet::new();
        let mut total_bytes = 0;
        if from_stdin {
            feeding.spawn(feed(tokio::io::stdin(), sender, source.to_owned()));
        } else if is_file {
            let file = File::open(path).await.map_err(Error::file("open", path))?;
            total_bytes = file
                .metadata()
                .await
                .map_err(Error::file("read", path))?
                .len();
            feeding.spawn(feed(file, sender, source.to_owned()));
        }
        Ok(Self {
            messages,
            feeding: Feeding(feeding),
            total_bytes,
        })
    }
}

impl Feeding {
    /// Lets the task feed until the answer is there. A file that cannot be read ends the upload with its own error.
    async fn beside<T>(
        mut self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                Some(fed) = self.0.join_next() => if let Ok(Err(error)) = fed {
                    return Err(error);
                },
            }
        }
    }
}

async fn feed(
    mut source: impl AsyncRead + Unpin,
    sender: mpsc::Sender<wire::AddImageRequest>,
    name: String,
) -> Result<(), Error> {
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        if source
            .read_buf(&mut piece)
            .await
            .map_err(Error::file("read", &name))?
            == 0
        {
            return Ok(());
        }
        let message = wire::AddImageRequest {
            request: Some(Request::Data(piece.freeze())),
        };
        if sender.send(message).await.is_err() {
            // The coordinator's answer says why it wants no more.
            return Ok(());
        }
    }
}

/// Shows how it goes until the last event.
async fn follow(
    mut events: Streaming<wire::AddImageEvent>,
    name: &str,
    total_bytes: u64,
    action: &'static str,
) -> Result<wire::AddImageEvent, Error> {
    let mut progress = Progress::new();
    let mut last = None;
    loop {
        let event = tokio::select! {
            // Cancel-safe: a message that is half received stays in the stream's buffer.
            event = events.message() => event.map_err(Error::call(action))?,
            () = progress.tick() => continue,
        };
        let Some(event) = event else { break };
        let step = Step {
            phase: "adding",
            activity: event.activity.clone(),
            done_bytes: event.done_bytes,
            total_bytes,
        };
        progress.show(name, step);
        last = Some(event);
    }
    progress.finish(name, "done");
    last.ok_or(Error::Cut { action })
}
