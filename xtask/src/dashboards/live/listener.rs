//! A small server on loopback: it takes Alertmanager's messages, and plays what is scraped beside the agent.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// More than any message of ours.
const MAX_BODY: usize = 16 << 20;

/// What it hands out and what it was told.
#[derive(Default)]
struct Desk {
    pages: BTreeMap<String, String>,
    messages: Vec<Value>,
}

/// The server; it answers until the process ends.
#[derive(Clone)]
pub(super) struct Listener {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Listener {
    pub(super) fn start() -> Result<Self> {
        let socket = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
        let listener = Self { address: socket.local_addr()?, desk: Arc::default() };
        let desk = Arc::clone(&listener.desk);
        thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let desk = Arc::clone(&desk);
                // A connection that breaks is the other side's matter.
                thread::spawn(move || answer(stream, &desk));
            }
        });
        Ok(listener)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `path` with `text` from now on.
    pub(super) fn serve(&self, path: &str, text: String) {
        self.desk().pages.insert(path.to_owned(), text);
    }

    /// The messages that were posted so far.
    pub(super) fn messages(&self) -> Vec<Value> {
        self.desk().messages.clone()
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(mut stream: TcpStream, desk: &Mutex<Desk>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok().filter(|length| *length <= MAX_BODY)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = target.split('?').next()?;
    let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
    let found = if method == "POST" {
        desk.messages.push(serde_json::from_slice(&body).ok()?);
        Some(Vec::new())
    } else {
        desk.pages.get(path).map(|page| page.clone().into_bytes())
    };
    drop(desk);
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .ok()?;
    stream.write_all(&body).ok()
}
