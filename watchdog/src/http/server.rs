//! The listener and its connections, all of them bounded.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// At most so many connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 32;
/// A request's head must have arrived by then, and an idle connection is closed after it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// No connection lives longer: a client that takes no answer gives its place back.
const MAX_LIFE: Duration = Duration::from_secs(300);
/// A request's head is never larger.
const MAX_HEAD: usize = 16 << 10;

/// Takes the address.
///
/// # Errors
/// Another program has it, or it is not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or the client is gone: neither ends the service.
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // What a client does wrong is its own business.
            let _ = tokio::time::timeout(MAX_LIFE, connection).await;
            drop(place);
        });
    }
}
