//! The pages.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use serde::Deserialize;

use super::Shared;
use super::exposure::refuse_exposed;
use super::page::{View, render};
use super::stream::Findings;
use crate::recent::Recent;

/// The page for people has at most so many findings.
const MAX_ROWS: usize = 200;

/// Returns all routes. Those that show more than numbers are refused to whom [`refuse_exposed`] says.
pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/findings", get(findings))
        .route("/status", get(status))
        .route_layer(from_fn(refuse_exposed))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .with_state(shared)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shared.metrics.render())
}

async fn livez(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.is_alive() {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop does not turn\n")
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let readiness = shared.status().readiness;
    let code = if readiness.is_serving() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", readiness.as_str()))
}

/// What the page for people is asked for by its own links.
#[derive(Deserialize)]
struct Look {
    #[serde(default = "default_rows")]
    limit: usize,
    refresh: Option<u16>,
}

fn default_rows() -> usize {
    50
}

async fn page(State(shared): State<Arc<Shared>>, look: Result<Query<Look>, QueryRejection>) -> Response {
    let Ok(Query(Look { limit, refresh })) = look else {
        return (StatusCode::BAD_REQUEST, "expected /?limit=N&refresh=SECONDS\n").into_response();
    };
    // Nothing is locked while the page is made.
    let (findings, kept) = {
        let recent = shared.recent();
        (recent.newest(limit.min(MAX_ROWS)), recent.len())
    };
    let status = shared.status().clone();
    let refresh = refresh.map(|seconds| seconds.clamp(2, 3600));
    Html(render(&View { status: &status, findings: &findings, kept, refresh })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    100
}

async fn findings(State(shared): State<Arc<Shared>>, page: Result<Query<Page>, QueryRejection>) -> Response {
    let Ok(Query(page)) = page else {
        let message = format!("expected /findings?limit=N with N from 0 to {}\n", Recent::MAX);
        return (StatusCode::BAD_REQUEST, message).into_response();
    };
    let findings = shared.recent().newest(page.limit);
    ([(header::CONTENT_TYPE, "application/json")], Body::new(Findings::new(findings))).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let status = shared.status().clone();
    Json(status)
}
