//! The grammar, as a machine that bytes are put into.

use super::Sink;
use super::flaw::{Flaw, Reason};
use super::number::Number;
use super::text::{Meaning, Text};

/// Nested deeper than this is refused, as the runtimes' own decoders do.
const MAX_DEPTH: usize = 127;

/// A document under way. Whatever its size, it takes these bytes and no more.
#[derive(Clone, Debug)]
pub struct Parser {
    state: State,
    /// Bit n says whether the container at depth n is an object.
    objects: u128,
    depth: usize,
    line: usize,
    column: usize,
}

#[derive(Clone, Debug)]
enum State {
    /// A value must come.
    Value,
    /// A value, or the end of the array that just began.
    FirstElement,
    /// A name, or the end of the object that just began.
    FirstName,
    /// A name must come.
    Name,
    Colon,
    /// A value has ended: a comma, or the end of what it is in.
    After,
    /// Only white space may come.
    Done,
    /// What must still come of `true`, `false` or `null`.
    Word(&'static [u8]),
    Number(Number),
    Text {
        text: Text,
        is_name: bool,
    },
}

impl Default for Parser {
    fn default() -> Self {
        Self { state: State::Value, objects: 0, depth: 0, line: 1, column: 0 }
    }
}

impl Parser {
    /// Takes bytes in.
    ///
    /// # Errors
    /// The document cannot go on like this.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<(), Flaw> {
        while let Some(&byte) = bytes.first() {
            if let State::Text { text, is_name } = &self.state {
                let plain = text.plain(bytes);
                if plain > 0 {
                    tell(sink, *is_name, &bytes[..plain]);
                    self.column += plain;
                    bytes = &bytes[plain..];
                    continue;
                }
            }
            // What a number ended before is looked at again, and counted once.
            let taken = self.take(byte, sink);
            if !matches!(taken, Ok(false)) {
                (self.line, self.column) =
                    if byte == b'\n' { (self.line + 1, 0) } else { (self.line, self.column + 1) };
                bytes = &bytes[1..];
            }
            if let Err(wrong) = taken {
                return Err(self.flaw(Reason::Wrong(wrong)));
            }
        }
        Ok(())
    }

    /// The document is over.
    ///
    /// # Errors
    /// It is not complete.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Flaw> {
        if let State::Number(number) = &self.state
            && number.may_end()
        {
            let value = number.value().map_err(|wrong| self.flaw(Reason::Wrong(wrong)))?;
            if let Some(value) = value {
                sink.integer(value);
            }
            self.value_ends();
        }
        let within = match &self.state {
            State::Done => return Ok(()),
            State::Value | State::Word(_) | State::Number(_) => "a value",
            State::FirstName | State::Name | State::Colon => "an object",
            State::FirstElement => "a list",
            State::After if self.is_in_object() => "an object",
            State::After => "a list",
            State::Text { .. } => "a string",
        };
        Err(self.flaw(Reason::Ends(within)))
    }

    fn flaw(&self, reason: Reason) -> Flaw {
        Flaw { reason, line: self.line, column: self.column }
    }

    /// False when the byte is still to be looked at.
    fn take(&mut self, byte: u8, sink: &mut impl Sink) -> Result<bool, &'static str> {
        let is_space = matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
        match &mut self.state {
            State::Number(number) => {
                if number.take(byte)? {
                    return Ok(true);
                }
                if let Some(value) = number.value()? {
                    sink.integer(value);
                }
                self.value_ends();
                return Ok(false);
            }
            State::Text { text, is_name } => {
                let is_name = *is_name;
                match text.take(byte)? {
                    Meaning::Nothing => {}
                    Meaning::Itself => tell(sink, is_name, &[byte]),
                    Meaning::Char(char) => tell(sink, is_name, char.encode_utf8(&mut [0; 4]).as_bytes()),
                    Meaning::End if is_name => {
                        sink.name_ends();
                        self.state = State::Colon;
                    }
                    Meaning::End => {
                        sink.string_ends();
                        self.value_ends();
                    }
                }
            }
            State::Word(word) => match word.split_first() {
                Some((next, [])) if *next == byte => self.value_ends(),
                Some((next, rest)) if *next == byte => self.state = State::Word(rest),
                _ => return Err("expected ident"),
            },
            _ if is_space => {}
            State::Value => self.value_begins(byte, sink)?,
            State::FirstElement if byte == b']' => self.leave(sink),
            State::FirstElement => self.value_begins(byte, sink)?,
            State::FirstName if byte == b'}' => self.leave(sink),
            State::FirstName | State::Name => match byte {
                b'"' => self.state = State::Text { text: Text::default(), is_name: true },
                b'}' => return Err("trailing comma"),
                _ => return Err("key must be a string"),
            },
            State::Colon if byte == b':' => self.state = State::Value,
            State::Colon => return Err("expected `:`"),
            State::After => self.after(byte, sink)?,
            State::Done => return Err("trailing characters"),
        }
        Ok(true)
    }

    fn after(&mut self, byte: u8, sink: &mut impl Sink) -> Result<(), &'static str> {
        match (self.is_in_object(), byte) {
            (true, b'}') | (false, b']') => self.leave(sink),
            (true, b',') => self.state = State::Name,
            (false, b',') => self.state = State::Value,
            (true, _) => return Err("expected `,` or `}`"),
            (false, _) => return Err("expected `,` or `]`"),
        }
        Ok(())
    }

    fn value_begins(&mut self, byte: u8, sink: &mut impl Sink) -> Result<(), &'static str> {
        self.state = match byte {
            b'{' | b'[' => {
                if self.depth >= MAX_DEPTH {
                    return Err("recursion limit exceeded");
                }
                let is_object = byte == b'{';
                self.objects = self.objects & !(1 << self.depth) | u128::from(is_object) << self.depth;
                self.depth += 1;
                if is_object {
                    sink.object();
                    State::FirstName
                } else {
                    sink.array();
                    State::FirstElement
                }
            }
            b'"' => {
                sink.string();
                State::Text { text: Text::default(), is_name: false }
            }
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b']' if self.depth > 0 && !self.is_in_object() => return Err("trailing comma"),
            _ => State::Number(Number::begin(byte).ok_or("expected value")?),
        };
        Ok(())
    }

    fn value_ends(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    fn leave(&mut self, sink: &mut impl Sink) {
        self.depth -= 1;
        sink.end();
        self.value_ends();
    }

    fn is_in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }
}

fn tell(sink: &mut impl Sink, is_name: bool, piece: &[u8]) {
    if is_name { sink.name(piece) } else { sink.text(piece) }
}
