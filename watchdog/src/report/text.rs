//! Foreign text, made harmless.

/// Unsafe characters become escapes, so that a name cannot forge a line, steer a terminal, or pass for another name.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    clean
}

/// True for a character that is never shown as it is, wherever text of others appears: control characters, what turns the
/// direction of writing round, what ends a line, and what takes no room (Unicode's `Default_Ignorable_Code_Point`).
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(clean("a\n\u{1b}[31mb\u{7f}\u{9b}\u{202e}ü"), "a\\n\\u{1b}[31mb\\u{7f}\\u{9b}\\u{202e}ü");
        assert_eq!(
            clean("run\u{200b}c\u{2028}\u{feff}\u{e0041}"),
            "run\\u{200b}c\\u{2028}\\u{feff}\\u{e0041}"
        );
        assert_eq!(clean("straße 漢字 🦀"), "straße 漢字 🦀");
    }
}
