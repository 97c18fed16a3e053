//! Findings that wait to learn whose container they are about.

use std::sync::Arc;

use crate::enrich::{Content, Damage};
use crate::model::{BootNanos, Output, Place, SessionReport};

/// A finding that waits to learn whose container it is about.
pub(super) enum Unpublished {
    /// That of a session, with what was read after it.
    Session(Box<SessionReport>, Option<Content>),
    /// That of a damaged file.
    Damage(Arc<Place>, Damage),
}

impl Unpublished {
    /// Findings of one file are published in this order: sessions by their ends, then what was found damaged.
    pub(super) fn order(&self) -> BootNanos {
        match self {
            Self::Session(report, _) => report.window.end,
            Self::Damage(..) => BootNanos(u64::MAX),
        }
    }

    pub(super) fn place(&self) -> &Place {
        match self {
            Self::Session(report, _) => &report.place,
            Self::Damage(place, _) => place,
        }
    }
}

/// What a finding will be about that the engine's word becomes.
pub(super) fn subject(output: &Output) -> Option<&Place> {
    match output {
        Output::Session(report) => report.outcome.is_nonatomic().then_some(&*report.place),
        Output::Read(report) => Some(&report.place),
        Output::ReaderExit(exit) => Some(&exit.place),
        Output::DamagedRead(report) => Some(&report.place),
        Output::Check(_) | Output::Anomaly(_) => None,
    }
}
