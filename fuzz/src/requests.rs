//! What a client sends.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use watchdog::http::{Shared, Status, routes};
use watchdog::metrics::Metrics;

/// No answer is larger with an empty store: the metrics are the largest.
const LARGEST: usize = 256 << 10;

thread_local! {
    static SERVER: RefCell<Option<(Runtime, axum::Router)>> = RefCell::new(server());
}

fn server() -> Option<(Runtime, axum::Router)> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let metrics = Metrics::new(&[]).ok()?;
    let shared = Arc::new(Shared::new(metrics, Status::starting("fuzz".to_owned())));
    Some((runtime, routes(shared)))
}

/// Any bytes on a connection get answers of HTTP or none, and the connection ends when the client's side does.
pub fn http(bytes: &[u8]) {
    SERVER.with_borrow(|server| {
        let Some((runtime, router)) = server else { panic!("no server") };
        runtime.block_on(async {
            let talk = talk(router.clone(), bytes);
            let Ok(answer) = tokio::time::timeout(Duration::from_secs(10), talk).await else {
                panic!("the connection hangs");
            };
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", answer.escape_ascii());
            let requests = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(answer.len() <= requests * LARGEST, "{} bytes", answer.len());
        });
    });
}

pub(crate) async fn talk(router: axum::Router, bytes: &[u8]) -> Vec<u8> {
    let (client, server) = tokio::io::duplex(64 << 10);
    let connection = http1::Builder::new()
        .max_buf_size(16 << 10)
        // Else the end of the requests would come before any answer, and nothing were answered.
        .half_close(true)
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(router));
    let (mut from, mut to) = tokio::io::split(client);
    let send = async {
        // The server may have hung up on nonsense.
        let _ = to.write_all(bytes).await;
        let _ = to.shutdown().await;
    };
    let mut answer = Vec::new();
    let receive = async {
        let _ = from.read_to_end(&mut answer).await;
    };
    let _ = tokio::join!(connection, send, receive);
    answer
}
