//! What the agent serves. The only place that listens.

mod crowd;
mod exposure;
mod guard;
mod page;
mod password;
mod routes;
mod server;
mod spoken;
mod status;
mod stream;
mod tls;
mod web;

pub use routes::routes;
pub use server::{bind, guarded, serve, serve_apart};
pub(crate) use spoken::{is_curve, is_suite};
pub use status::{ProbeView, ProofView, ReloadView, RootView, Shared, Status};
pub(crate) use web::chain;
pub use web::{Web, WebError};

#[cfg(test)]
mod tests;
