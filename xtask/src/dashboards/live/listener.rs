//! A small server on loopback: it takes Alertmanager's messages, plays what is scraped beside the agent, and hands out
//! the files of the page that draws dashboards.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
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
    files: Option<PathBuf>,
    messages: Vec<Value>,
}

/// The server; it answers until the process ends.
#[derive(Clone)]
pub(crate) struct Listener {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

impl Listener {
    pub(crate) fn start() -> Result<Self> {
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

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `path` with `text` from now on.
    pub(crate) fn serve(&self, path: &str, text: String) {
        self.desk().pages.insert(path.to_owned(), text);
    }

    /// Answers all other paths with the files below `folder`.
    pub(crate) fn serve_files(&self, folder: &Path) {
        self.desk().files = Some(folder.to_owned());
    }

    /// The messages that were posted so far.
    pub(crate) fn messages(&self) -> Vec<Value> {
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
    } else if let Some(page) = desk.pages.get(path) {
        Some(page.clone().into_bytes())
    } else {
        // Nothing but plain names below the folder.
        let name = path.trim_start_matches('/');
        let plain = name.split('/').all(|part| !part.is_empty() && part != "..");
        desk.files.as_ref().filter(|_| plain).and_then(|folder| fs::read(folder.join(name)).ok())
    };
    drop(desk);
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let kind = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "text/plain; version=0.0.4; charset=utf-8",
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .ok()?;
    stream.write_all(&body).ok()
}
