//! Checks JSON of any size as it is read, within a fixed memory.
//!
//! The whole document is never held: strings go past piece by piece, and whoever listens keeps what it wants of them.
//! The grammar, the limit of nesting and the words of errors are those of `serde_json`; a test compares the two.

mod flaw;
mod number;
mod parser;
mod text;

pub use flaw::{Flaw, Reason};
pub use parser::Parser;

/// Listens to a document while it is checked.
pub trait Sink {
    /// An object begins.
    fn object(&mut self) {}
    /// An array begins.
    fn array(&mut self) {}
    /// The innermost object or array ends.
    fn end(&mut self) {}
    /// A piece of the next member's name, without escapes.
    fn name(&mut self, piece: &[u8]) {
        let _ = piece;
    }
    /// The name is complete.
    fn name_ends(&mut self) {}
    /// A string begins, which is no name.
    fn string(&mut self) {}
    /// A piece of it, without escapes.
    fn text(&mut self, piece: &[u8]) {
        let _ = piece;
    }
    /// The string is complete.
    fn string_ends(&mut self) {}
    /// An integer that has room in 64 bits.
    fn integer(&mut self, value: i64) {
        let _ = value;
    }
}

/// Listens to nothing.
impl Sink for () {}

#[cfg(test)]
mod tests;
