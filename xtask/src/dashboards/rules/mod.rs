//! Recording rules and alerts: the data, and the files that Prometheus and promtool read.

mod alerts;
mod catalogue;
mod model;
mod recording;
mod runbook;
mod sight;
mod trust;
mod unit_tests;
mod yaml;

pub(super) use catalogue::alerts;
pub(crate) use model::Pace;
pub(super) use model::RUNBOOK_BASE;
pub(super) use runbook::runbook;
pub(super) use unit_tests::unit_tests;
pub(super) use yaml::{alerting_rules, recording_rules};

pub(super) use recording::GROUPS as RECORDING_GROUPS;
