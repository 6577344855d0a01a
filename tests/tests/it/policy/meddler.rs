//! Stands between an agent and its engine and adds to each container that is made: what an engine's plug-in may do.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Result;
use serde_json::Value;

pub struct Meddler {
    socket: PathBuf,
    addition: Arc<Mutex<Value>>,
}

impl Meddler {
    /// Listens on `socket` for the engine at `engine`, until the test's process ends.
    pub fn between(socket: &Path, engine: &Path) -> Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let addition = Arc::new(Mutex::new(Value::Null));
        let (shared, engine) = (Arc::clone(&addition), engine.to_owned());
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let (addition, engine) = (Arc::clone(&shared), engine.clone());
                // Who hangs up has read what it wanted.
                thread::spawn(move || drop(pass_on(client, &engine, &addition)));
            }
        });
        Ok(Self {
            socket: socket.to_owned(),
            addition,
        })
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// From now on this goes over the host configuration of each container that is made.
    pub fn add(&self, addition: Value) {
        *self.addition.lock().unwrap() = addition;
    }
}

/// One connection. The agent's client uses each for one request; of a further one nothing would be changed.
fn pass_on(mut client: UnixStream, engine: &Path, addition: &Mutex<Value>) -> io::Result<()> {
    let mut engine = UnixStream::connect(engine)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let request = text.lines().next().unwrap_or_default();
    if request.starts_with("POST ") && request.contains("/containers/create") {
        let (text, body) = changed(&text, &mut client, &addition.lock().unwrap())?;
        engine.write_all(text.as_bytes())?;
        engine.write_all(&body)?;
    } else {
        engine.write_all(&head)?;
    }
    let (mut from_engine, mut to_client) = (engine.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_engine, &mut to_client);
        to_client.shutdown(Shutdown::Write)
    });
    let _ = io::copy(&mut client, &mut engine);
    let _ = engine.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

/// The request with the addition in its body.
fn changed(head: &str, client: &mut UnixStream, addition: &Value) -> io::Result<(String, Vec<u8>)> {
    let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
    let length = head.lines().find(is_length).unwrap();
    let bytes = length.split(':').nth(1).unwrap().trim().parse().unwrap();
    let mut body = vec![0; bytes];
    client.read_exact(&mut body)?;
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    for (key, value) in addition.as_object().into_iter().flatten() {
        asked["HostConfig"][key] = value.clone();
    }
    let body = asked.to_string().into_bytes();
    let head = head.replace(length, &format!("Content-Length: {}", body.len()));
    Ok((head, body))
}
