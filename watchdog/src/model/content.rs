//! The verdict on a state file's bytes.

use serde::{Deserialize, Serialize};

/// The verdict on a state file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// One complete JSON value.
    Valid,
    /// Anything else that could be read.
    Damaged(Damage),
    /// The file was not judged: too large, unreadable, replaced meanwhile, or its profile knows no content.
    NotJudged,
}

/// How a state file is damaged; also the label values of `damaged_state_files_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// No byte.
    Empty,
    /// JSON that ends too early.
    Truncated,
    /// No JSON, JSON and something behind it, or nested too deeply.
    Invalid,
}

impl Damage {
    /// All kinds, in label order.
    pub const ALL: [Self; 3] = [Self::Empty, Self::Truncated, Self::Invalid];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Invalid => "invalid",
        }
    }
}

impl Content {
    /// As a finding says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Damaged(damage) => damage.as_str(),
            Self::NotJudged => "not_judged",
        }
    }
}
