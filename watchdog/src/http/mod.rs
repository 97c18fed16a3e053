//! What the agent serves. The only place that listens.

mod landing;
mod routes;
mod server;
mod status;

pub use routes::routes;
pub use server::{bind, serve};
pub use status::{ProbeView, ProofView, ReloadView, RootView, Shared, Status};

#[cfg(test)]
mod tests;
