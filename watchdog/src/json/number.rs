//! Numbers, digit by digit.

/// So many digits decide whether a number is too large for a double.
const DIGITS: usize = 20;
const INVALID: &str = "invalid number";
const RANGE: &str = "number out of range";

/// A number under way.
#[derive(Clone, Debug)]
pub(super) struct Number {
    part: Part,
    negative: bool,
    /// The first digits that are no leading zeros.
    digits: [u8; DIGITS],
    kept: usize,
    /// Digits before the point that are not kept, less those behind it that are.
    scale: i64,
    exponent: i64,
    exponent_negative: bool,
    is_integer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A digit must come.
    Start,
    /// `0`, which no digit may follow.
    Zero,
    Integer,
    /// Behind the point: a digit must come.
    Point,
    Fraction,
    /// Behind the `e`: a sign or a digit must come.
    E,
    /// Behind its sign: a digit must come.
    Sign,
    Exponent,
}

impl Number {
    /// Begins with this byte; `None` when no number does.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        let mut number = Self {
            part: Part::Start,
            negative: byte == b'-',
            digits: [b'0'; DIGITS],
            kept: 0,
            scale: 0,
            exponent: 0,
            exponent_negative: false,
            is_integer: true,
        };
        match byte {
            b'-' => Some(number),
            b'0'..=b'9' => number.take(byte).ok().map(|_| number),
            _ => None,
        }
    }

    /// Takes a byte in; false when the number ended before it.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, &'static str> {
        let is_digit = byte.is_ascii_digit();
        self.part = match (self.part, byte) {
            (Part::Start, b'0') => Part::Zero,
            (Part::Start | Part::Integer, _) if is_digit => {
                self.digit(byte, false);
                Part::Integer
            }
            (Part::Zero, _) if is_digit => return Err(INVALID),
            (Part::Zero | Part::Integer, b'.') => Part::Point,
            (Part::Zero | Part::Integer | Part::Fraction, b'e' | b'E') => Part::E,
            (Part::Point | Part::Fraction, _) if is_digit => {
                self.digit(byte, true);
                Part::Fraction
            }
            (Part::E, b'+' | b'-') => {
                self.exponent_negative = byte == b'-';
                Part::Sign
            }
            (Part::E | Part::Sign | Part::Exponent, _) if is_digit => {
                let digit = i64::from(byte - b'0');
                self.exponent = self.exponent.saturating_mul(10).saturating_add(digit).min(1 << 40);
                Part::Exponent
            }
            (Part::Zero | Part::Integer | Part::Fraction | Part::Exponent, _) => return Ok(false),
            (Part::Start | Part::Point | Part::E | Part::Sign, _) => return Err(INVALID),
        };
        self.is_integer &= matches!(self.part, Part::Zero | Part::Integer);
        Ok(true)
    }

    /// The document ends here; false when a digit was still to come.
    pub(super) fn may_end(&self) -> bool {
        !matches!(self.part, Part::Start | Part::Point | Part::E | Part::Sign)
    }

    /// The value where it is an integer that has room.
    pub(super) fn value(&self) -> Result<Option<i64>, &'static str> {
        let digits = std::str::from_utf8(&self.digits[..self.kept]).unwrap_or_default();
        let sign = if self.negative { "-" } else { "" };
        if self.is_integer && self.scale == 0 {
            let digits = if digits.is_empty() { "0" } else { digits };
            return Ok(format!("{sign}{digits}").parse().ok());
        }
        let exponent = if self.exponent_negative { -self.exponent } else { self.exponent };
        let exponent = exponent.saturating_add(self.scale);
        let is_finite =
            digits.is_empty() || format!("{digits}e{exponent}").parse::<f64>().is_ok_and(f64::is_finite);
        if is_finite { Ok(None) } else { Err(RANGE) }
    }

    fn digit(&mut self, byte: u8, is_fraction: bool) {
        let is_leading = self.kept == 0 && byte == b'0';
        if !is_leading && self.kept < DIGITS {
            self.digits[self.kept] = byte;
            self.kept += 1;
            self.scale -= i64::from(is_fraction);
        } else if is_leading {
            self.scale -= i64::from(is_fraction);
        } else {
            self.scale += i64::from(!is_fraction);
        }
    }
}
