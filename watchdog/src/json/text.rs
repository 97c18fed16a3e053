//! Strings, byte by byte: escapes, and whether the rest is UTF-8.

const ESCAPE: &str = "invalid escape";
const CONTROL: &str = "control character (\\u0000-\\u001F) found while parsing a string";
const SURROGATE: &str = "lone leading surrogate in hex escape";
const UNEXPECTED: &str = "unexpected end of hex escape";
const UNICODE: &str = "invalid unicode code point";

/// A string under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    escape: Escape,
    utf8: Utf8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Backslash,
    /// So many bytes came, with this value if they are hexadecimal digits; a leading surrogate may stand before them.
    /// As long as there are fewer than four, the document may be cut.
    Hex(u8, Option<u32>, Option<u32>),
    /// A leading surrogate came: `\u` must follow.
    Surrogate(u32),
    SurrogateBackslash(u32),
}

/// What a byte of a string means.
pub(super) enum Meaning {
    /// It stands for itself.
    Itself,
    /// It belongs to an escape that goes on.
    Nothing,
    /// It completes an escape for this.
    Char(char),
    /// The string ends.
    End,
}

impl Text {
    /// How many bytes at the beginning stand for themselves and may be taken in at once.
    pub(super) fn plain(&self, bytes: &[u8]) -> usize {
        if self.escape != Escape::None || !self.utf8.is_between() {
            return 0;
        }
        let is_plain = |byte: &u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=0x7f);
        bytes.iter().position(|byte| !is_plain(byte)).unwrap_or(bytes.len())
    }

    /// Takes a byte in.
    pub(super) fn take(&mut self, byte: u8) -> Result<Meaning, &'static str> {
        match self.escape {
            Escape::None => self.plain_byte(byte),
            Escape::Backslash => self.escaped(byte),
            Escape::Hex(count, value, leading) => self.hex(byte, count, value, leading),
            Escape::Surrogate(leading) if byte == b'\\' => {
                self.escape = Escape::SurrogateBackslash(leading);
                Ok(Meaning::Nothing)
            }
            Escape::SurrogateBackslash(leading) if byte == b'u' => {
                self.escape = Escape::Hex(0, Some(0), Some(leading));
                Ok(Meaning::Nothing)
            }
            Escape::Surrogate(_) | Escape::SurrogateBackslash(_) => Err(UNEXPECTED),
        }
    }

    fn plain_byte(&mut self, byte: u8) -> Result<Meaning, &'static str> {
        match byte {
            b'"' if self.utf8.is_valid() => Ok(Meaning::End),
            b'"' => Err(UNICODE),
            b'\\' => {
                self.utf8.interrupt();
                self.escape = Escape::Backslash;
                Ok(Meaning::Nothing)
            }
            0..0x20 => Err(CONTROL),
            _ => {
                self.utf8.take(byte);
                Ok(Meaning::Itself)
            }
        }
    }

    fn escaped(&mut self, byte: u8) -> Result<Meaning, &'static str> {
        self.escape = Escape::None;
        Ok(Meaning::Char(match byte {
            b'"' | b'\\' | b'/' => byte.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.escape = Escape::Hex(0, Some(0), None);
                return Ok(Meaning::Nothing);
            }
            _ => return Err(ESCAPE),
        }))
    }

    fn hex(
        &mut self,
        byte: u8,
        count: u8,
        value: Option<u32>,
        leading: Option<u32>,
    ) -> Result<Meaning, &'static str> {
        let value = value.zip(char::from(byte).to_digit(16)).map(|(value, digit)| value << 4 | digit);
        if count < 3 {
            self.escape = Escape::Hex(count + 1, value, leading);
            return Ok(Meaning::Nothing);
        }
        let value = value.ok_or(ESCAPE)?;
        self.escape = Escape::None;
        let code = match (leading, value) {
            (None, 0xd800..0xdc00) => {
                self.escape = Escape::Surrogate(value);
                return Ok(Meaning::Nothing);
            }
            (Some(leading), 0xdc00..0xe000) => 0x1_0000 + ((leading - 0xd800) << 10) + (value - 0xdc00),
            (None, _) => value,
            (Some(_), _) => return Err(SURROGATE),
        };
        char::from_u32(code).map(Meaning::Char).ok_or(SURROGATE)
    }
}

/// Whether bytes are UTF-8 so far. A string that is not is wrong only when it ends: before that it may be cut.
#[derive(Clone, Copy, Debug, Default)]
struct Utf8 {
    /// So many bytes must follow.
    missing: u8,
    /// The next of them lies between these.
    next: (u8, u8),
    is_wrong: bool,
}

impl Utf8 {
    fn is_between(self) -> bool {
        self.missing == 0
    }

    fn is_valid(self) -> bool {
        self.missing == 0 && !self.is_wrong
    }

    /// Something else comes.
    fn interrupt(&mut self) {
        self.is_wrong |= self.missing > 0;
        self.missing = 0;
    }

    fn take(&mut self, byte: u8) {
        if self.missing > 0 {
            if (self.next.0..=self.next.1).contains(&byte) {
                (self.missing, self.next) = (self.missing - 1, (0x80, 0xbf));
                return;
            }
            self.interrupt();
        }
        (self.missing, self.next) = match byte {
            0..0x80 => (0, (0, 0)),
            0xc2..=0xdf => (1, (0x80, 0xbf)),
            0xe0 => (2, (0xa0, 0xbf)),
            0xed => (2, (0x80, 0x9f)),
            0xe1..=0xef => (2, (0x80, 0xbf)),
            0xf0 => (3, (0x90, 0xbf)),
            0xf1..=0xf3 => (3, (0x80, 0xbf)),
            0xf4 => (3, (0x80, 0x8f)),
            0x80..=0xc1 | 0xf5.. => {
                self.is_wrong = true;
                (0, (0, 0))
            }
        };
    }
}
