//! Foreign text, made harmless.

/// Control characters become escapes, so that a name cannot forge a line or steer a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    // Bidirectional overrides are no control characters to Unicode, but reorder a line as well.
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if hostile(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(clean("a\n\u{1b}[31mb\u{7f}\u{9b}\u{202e}ü"), "a\\n\\u{1b}[31mb\\u{7f}\\u{9b}\\u{202e}ü");
    }
}
