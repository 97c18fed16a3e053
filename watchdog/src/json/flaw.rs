//! Where and why a document is none.

use std::fmt;

/// Why bytes are no JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Why.
    pub reason: Reason,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1; 0 at the end of an empty line.
    pub column: usize,
}

/// What the parser expected, or met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It ends within this.
    Ends(&'static str),
    /// It goes on otherwise than a document can.
    Wrong(&'static str),
}

impl Flaw {
    /// True when the document is the beginning of a longer one.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self.reason, Reason::Ends(_))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Ends(within) => write!(f, "EOF while parsing {within}")?,
            Reason::Wrong(what) => f.write_str(what)?,
        }
        write!(f, " at line {} column {}", self.line, self.column)
    }
}
