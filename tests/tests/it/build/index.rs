//! A Python package index on loopback, which can be dead, silent, closed to strangers, or false.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::wheel::Wheel;

/// How an index behaves.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Serving,
    /// Takes connections and never answers.
    Silent,
}

pub struct Index {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    /// Wheels by file name.
    wheels: Mutex<BTreeMap<String, Vec<u8>>>,
    /// "USER:PASSWORD" that every request must bring.
    credentials: Option<String>,
    /// Some request came as to a proxy.
    as_proxy: AtomicBool,
}

impl Index {
    pub async fn start(manner: Manner, credentials: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            credentials: credentials.map(str::to_owned),
            ..State::default()
        });
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    match manner {
                        // A client that gives up closes its end; what it sent is of no interest.
                        Manner::Serving => drop(state.serve(connection).await),
                        Manner::Silent => std::future::pending().await,
                    }
                });
            }
        });
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// As it stands in a configuration.
    pub fn url(&self) -> String {
        let credentials = self
            .state
            .credentials
            .as_ref()
            .map(|credentials| format!("{credentials}@"));
        format!(
            "http://{}{}/simple",
            credentials.unwrap_or_default(),
            self.address
        )
    }

    /// The same as a proxy, which gives its own wheels whatever host is asked for.
    pub fn proxy_url(&self, credentials: &str) -> String {
        format!("http://{credentials}@{}", self.address)
    }

    /// Whether it was used as a proxy.
    pub fn was_proxy(&self) -> bool {
        self.state.as_proxy.load(Ordering::Relaxed)
    }

    /// Offers a wheel, in place of one of the same name.
    pub fn offer(&self, (file, bytes): (String, Vec<u8>)) {
        self.state.wheels.lock().unwrap().insert(file, bytes);
    }
}

impl State {
    async fn serve(&self, connection: TcpStream) -> std::io::Result<()> {
        answer_once(connection, |method, path, request| {
            self.answer(method, path, request)
        })
        .await
    }

    fn answer(&self, method: &str, path: &str, request: &str) -> Answer {
        let stranger = self.credentials.as_ref().is_some_and(|credentials| {
            let wanted = format!("authorization: basic {}", base64(credentials.as_bytes()));
            !request
                .lines()
                .any(|line| line.eq_ignore_ascii_case(&wanted))
        });
        if stranger {
            return (
                "401 Unauthorized\r\nWWW-Authenticate: Basic",
                "text/plain",
                Vec::new(),
            );
        }
        let path = match path.strip_prefix("http://") {
            Some(place) => {
                self.as_proxy.store(true, Ordering::Relaxed);
                place.find('/').map_or("/", |at| &place[at..])
            }
            None => path,
        };
        if method != "GET" {
            return ("405 Method Not Allowed", "text/plain", Vec::new());
        }
        let wheels = self.wheels.lock().unwrap();
        if let Some(bytes) = path
            .strip_prefix("/files/")
            .and_then(|file| wheels.get(file))
        {
            return ("200 OK", "application/octet-stream", bytes.clone());
        }
        let project = path
            .trim_matches('/')
            .strip_prefix("simple/")
            .unwrap_or_default();
        let links: String = wheels
            .iter()
            // A file's name has underscores where the project's has dashes.
            .filter(|(file, _)| {
                file.split('-')
                    .next()
                    .is_some_and(|name| name.replace('_', "-") == project)
            })
            .map(|(file, bytes)| {
                let hash = tfleet_proto::model::digest::Digest::of(bytes).hex();
                format!("<a href=\"/files/{file}#sha256={hash}\">{file}</a>\n")
            })
            .collect();
        if links.is_empty() {
            return ("404 Not Found", "text/plain", Vec::new());
        }
        (
            "200 OK",
            "text/html",
            format!("<!DOCTYPE html><html><body>{links}</body></html>").into_bytes(),
        )
    }
}

/// Status and further headers, type, and body.
pub type Answer = (&'static str, &'static str, Vec<u8>);

/// Answers one request, given as method, path and the whole head, and closes the connection.
pub async fn answer_once(
    mut connection: TcpStream,
    answer: impl FnOnce(&str, &str, &str) -> Answer,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if connection.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let mut words = request.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (status, kind, body) = answer(method, path, &request);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        connection.write_all(&body).await?;
    }
    connection.shutdown().await
}

/// A wheel of one module.
pub fn wheel(name: &str, module: &str) -> (String, Vec<u8>) {
    Wheel::new(name, "1.0")
        .file(&format!("{name}.py"), module)
        .pack()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            let index = (number >> (18 - 6 * digit)) & 63;
            text.push(if digit <= three.len() {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    text
}
