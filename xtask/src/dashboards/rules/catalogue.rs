//! All alerts in the order in which they are rendered.

use super::{alerts::ALERTS, model::Alert, sight, trust};

/// All alerts: what happens to state files first, then whether the watchdog can be trusted.
pub(in crate::dashboards) fn alerts() -> impl Iterator<Item = &'static Alert> {
    ALERTS.iter().chain(&trust::ALERTS).chain(&sight::ALERTS)
}
