//! The dashboards.

mod fleet;
mod frame;
mod health;
mod model;
mod node;
mod panels;

pub(super) use model::{Dashboard, Panel};

/// All of them, with the names of their files.
pub(super) fn dashboards() -> [(&'static str, Dashboard); 3] {
    [
        ("grafana/fleet.json", fleet::fleet()),
        ("grafana/node.json", node::node()),
        ("grafana/watchdog-health.json", health::health()),
    ]
}
