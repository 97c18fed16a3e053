//! Exit codes, as promised to scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is fine.
    Fine,
    /// The command's own answer is no.
    No,
    /// Bad usage or configuration (`EX_USAGE`).
    Usage,
    /// No source can run (`EX_UNAVAILABLE`).
    Unavailable,
    /// Something inside failed (`EX_SOFTWARE`).
    Internal,
    /// A port or a file cannot be used (`EX_IOERR`).
    Unusable,
    /// A permission is missing (`EX_NOPERM`).
    Permission,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::No => 1,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::Unusable => 74,
            Self::Permission => 77,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
