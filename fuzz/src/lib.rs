//! What comes from outside, thrown at the agent. Each function is a target: it takes any bytes and panics where the
//! agent breaks a promise. libFuzzer calls them through `fuzz_targets/`, `cargo test` with the committed corpus.

mod attribution;
mod config;
mod directories;
mod engine;
mod events;
mod recordings;
mod records;
mod requests;
mod state;
mod types;
mod web;

pub use attribution::attribution;
pub use config::config;
pub use directories::inotify;
pub use engine::engine;
pub use recordings::replay;
pub use records::ring;
pub use requests::http;
pub use state::state;
pub use types::btf;
pub use web::webconfig;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets by the names of their folders in the corpus.
pub const TARGETS: [(&str, Target); 10] = [
    ("attribution", attribution),
    ("btf", btf),
    ("config", config),
    ("engine", engine),
    ("http", http),
    ("inotify", inotify),
    ("replay", replay),
    ("ring", ring),
    ("state", state),
    ("webconfig", webconfig),
];
