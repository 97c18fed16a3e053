//! Splits an argument into words as a shell would, because an argument may hold a whole command line.

/// What stands between words of a command line.
fn separates(c: char) -> bool {
    c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')' | '<' | '>' | '`')
}

/// Splits text into pieces that make up the text when they are joined: words, and what stands between them. A quoted part
/// belongs to its word; a quote that does not end reaches to the end.
pub(super) fn pieces(text: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let (mut start, mut in_word, mut quote) = (0, false, None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let is_word = quote.is_some() || !separates(c);
        if is_word != in_word {
            if at > start {
                pieces.push((&text[start..at], in_word));
            }
            (start, in_word) = (at, is_word);
        }
        match (c, quote) {
            ('\\', _) if quote != Some('\'') => drop(chars.next()),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    if start < text.len() {
        pieces.push((&text[start..], in_word));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let pieces = pieces(text);
        assert_eq!(pieces.iter().map(|(piece, _)| *piece).collect::<String>(), text);
        pieces.into_iter().filter(|(_, is_word)| *is_word).map(|(word, _)| word).collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(words("a  b;c&&d|e >f"), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(words("X='a b' Y=\"c;d\" e"), ["X='a b'", "Y=\"c;d\"", "e"]);
        assert_eq!(words(r"X=a\ b c"), [r"X=a\ b", "c"]);
        assert_eq!(words("it's open here"), ["it's open here"]);
        assert_eq!(words(""), [] as [&str; 0]);
        assert_eq!(words(" \t\n"), [] as [&str; 0]);
        assert_eq!(words("ü 漢=字\\"), ["ü", "漢=字\\"]);
    }
}
