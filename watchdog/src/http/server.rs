//! The listener and its connections, all of them bounded.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Web;
use super::crowd::{Crowd, Idle};
use super::exposure::Reached;
use super::guard::guard;
use super::web::Settings;
use crate::privilege;

/// A request's head must have arrived by then, and an idle connection is closed after it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// No connection lives longer: a client that takes no answer gives its place back.
const MAX_LIFE: Duration = Duration::from_secs(300);
/// A request's head is never larger.
const MAX_HEAD: usize = 16 << 10;

/// For who does not speak TLS where it is spoken.
const PLAIN: &[u8] = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n\
    this port speaks TLS: use https\n";

/// Takes the address. Where this machine has no IPv6, every address is every one of IPv4.
///
/// # Errors
/// Another program has it, or it is not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    match &bound {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        _ => bound,
    }
}

/// True for what the kernel answers where IPv6 is not built in, or is switched off.
fn lacks_ipv6(error: &io::Error) -> bool {
    [Some(libc::EAFNOSUPPORT), Some(libc::EADDRNOTAVAIL)].contains(&error.raw_os_error())
}

/// Serves in a thread of its own: whatever clients do, the agent's loop turns. It ends with the process.
///
/// # Errors
/// No thread can be started.
pub fn serve_apart(listener: TcpListener, router: Router, web: Arc<Web>) -> io::Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve_here = move || {
        privilege::shed_for_reading();
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => serve(listener, router, web).await,
                Err(error) => tracing::error!(%error, "cannot serve"),
            }
        });
    };
    std::thread::Builder::new().name("http".to_owned()).stack_size(512 << 10).spawn(serve_here)?;
    Ok(())
}

/// The same pages, for those who may ask.
pub fn guarded(router: Router, web: Arc<Web>) -> Router {
    router.layer(from_fn_with_state(web, guard))
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, router: Router, web: Arc<Web>) {
    let router = guarded(router, Arc::clone(&web));
    let mut crowd = Crowd::new();
    while let Some(place) = crowd.place().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or the client is gone: neither ends the service.
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, settings) = (router.clone(), web.current());
        let idle = Idle::now();
        let connection = talk(stream, settings, router, idle.clone());
        let task = tokio::spawn(async move {
            let _ = tokio::time::timeout(MAX_LIFE, connection).await;
            drop(place);
        });
        crowd.enters(task.abort_handle(), idle);
    }
}

/// One connection. What a client does wrong is its own business.
async fn talk(mut stream: TcpStream, settings: Arc<Settings>, router: Router, idle: Idle) {
    let verified = settings.verifies_clients;
    let reached = stream.local_addr().ok().map(|address| Reached { address, verified });
    let Some(tls) = settings.tls.clone() else { return speak(stream, reached, router, idle).await };
    let mut first = [0];
    let begin = tokio::time::timeout(HEADER_TIMEOUT, async {
        stream.peek(&mut first).await?;
        // A TLS record begins with a 22; a method's name with a letter.
        if first[0].is_ascii_alphabetic() {
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
            return Err(io::ErrorKind::InvalidData.into());
        }
        TlsAcceptor::from(tls).accept(stream).await
    });
    match begin.await {
        Ok(Ok(stream)) => speak(stream, reached, router, idle).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection did not get to TLS"),
        Err(_) => {}
    }
}

pub(super) async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    reached: Option<Reached>,
    router: Router,
    idle: Idle,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        idle.set(false);
        if let Some(reached) = reached {
            request.extensions_mut().insert(reached);
        }
        let (answer, idle) = (router.call(request), idle.clone());
        async move {
            let answer = answer.await;
            idle.set(true);
            answer
        }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
