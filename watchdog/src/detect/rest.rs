//! What is known of a content that is damaged at rest.

use std::sync::Arc;

use crate::model::{Actor, BootNanos, Damage, Place};

/// A content that is damaged at rest.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) damage: Damage,
    pub(super) size: u64,
    /// When its last modification returned; when the file was first seen, if none was seen.
    pub(super) since: BootNanos,
    /// When the next session changed it, if one did before the agent's reading arrived.
    pub(super) until: Option<BootNanos>,
    /// Who made that modification.
    pub(super) by: Actor,
    pub(super) place: Arc<Place>,
}
