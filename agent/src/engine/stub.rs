//! An engine for tests: a socket that answers as it is told to, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::Engine;

/// What the stub says to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    Json(u16, String),
    /// Lines that come at once; the stream stays open after them.
    Lines(Vec<String>),
    /// The connection is lost before an answer.
    Cut,
    Never,
}

/// An engine that has nothing, and whose answers can be changed.
pub struct StubEngine {
    folder: tempfile::TempDir,
    shared: Arc<Shared>,
    /// Dropping it ends the server.
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    /// The newest rule that fits decides: the beginning of "METHOD /path".
    rules: Mutex<Vec<(String, Reply)>>,
    asked: Mutex<Vec<String>>,
}

impl StubEngine {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                answers.spawn(answer(stream, Arc::clone(&server)));
            }
        });
        let stub = Self {
            folder,
            shared,
            _serving: serving,
        };
        stub.on(
            "GET /version",
            Reply::Json(200, r#"{"ApiVersion":"1.43"}"#.to_owned()),
        );
        stub.on("GET /images/json", Reply::Json(200, "[]".to_owned()));
        stub.on("GET /containers/json", Reply::Json(200, "[]".to_owned()));
        stub.on("GET /events", Reply::Lines(Vec::new()));
        stub
    }

    pub fn engine(&self) -> Engine {
        let socket = self.folder.path().join("engine.sock");
        Engine::connect(&format!("unix://{}", socket.display())).unwrap()
    }

    /// Answers so from now on where "METHOD /path?query" begins with `request`.
    pub fn on(&self, request: &str, reply: Reply) {
        let mut rules = self.shared.rules.lock().unwrap();
        rules.push((request.to_owned(), reply));
    }

    /// What was asked that begins so, in order.
    pub fn asked(&self, request: &str) -> Vec<String> {
        let asked = self.shared.asked.lock().unwrap();
        let fitting = asked.iter().filter(|asked| asked.starts_with(request));
        fitting.cloned().collect()
    }
}

async fn answer(mut stream: UnixStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    let fitting = {
        let rules = shared.rules.lock().unwrap();
        let mut newest_first = rules.iter().rev();
        newest_first
            .find(|(start, _)| request.starts_with(start))
            .map(|(_, reply)| reply.clone())
    };
    shared.asked.lock().unwrap().push(request.clone());
    let unknown = || {
        let message = format!(r#"{{"message":"the stub knows nothing of {request}"}}"#);
        Reply::Json(404, message)
    };
    match fitting.unwrap_or_else(unknown) {
        Reply::Json(status, text) => {
            let head = format!(
                "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                text.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(text.as_bytes()).await
        }
        Reply::Lines(lines) => {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(lines.concat().as_bytes()).await?;
            until_closed(&mut stream).await
        }
        Reply::Cut => Ok(()),
        Reply::Never => until_closed(&mut stream).await,
    }
}

/// "METHOD /path?query", without the API's version. The body is read and forgotten.
async fn read(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.eq_ignore_ascii_case("content-length")).then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let unversioned = path.strip_prefix("/v").and_then(|rest| {
        let (version, path) = rest.split_once('/')?;
        let is_version = version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_version.then(|| format!("/{path}"))
    });
    Ok(format!(
        "{method} {}",
        unversioned.unwrap_or(path.to_owned())
    ))
}

async fn until_closed(stream: &mut UnixStream) -> std::io::Result<()> {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
