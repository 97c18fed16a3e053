//! Writing HTML: whatever is not ours is escaped, and shown so that it can be seen.

use std::fmt::Write as _;

use crate::report::is_unsafe;

/// A text under construction. Only literals of our own become markup.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Foreign text, cut after `most` characters.
    pub(super) fn text(&mut self, text: &str, most: usize) -> &mut Self {
        for (count, c) in text.chars().enumerate() {
            if count >= most {
                self.0.push('…');
                break;
            }
            self.push(c);
        }
        self
    }

    /// Foreign text in an element of our own.
    pub(super) fn element(
        &mut self,
        open: &'static str,
        text: &str,
        most: usize,
        close: &'static str,
    ) -> &mut Self {
        self.raw(open).text(text, most).raw(close)
    }

    /// How much there is so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn push(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            '\n' => self.0.push('\n'),
            c if is_unsafe(c) => {
                // Writing to a String cannot fail.
                let _ = write!(self.0, "\\u{{{:x}}}", u32::from(c));
            }
            c => self.0.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, most: usize) -> String {
        let mut html = Html::default();
        html.text(text, most);
        html.finish()
    }

    #[test]
    fn nothing_foreign_becomes_markup() {
        assert_eq!(
            text("<script>alert('x')</script> & \"y\"", 99),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(text("\u{1b}[31mred\0", 99), "\\u{1b}[31mred\\u{0}");
        assert_eq!(text("a\u{202e}b\u{200b}c", 99), "a\\u{202e}b\\u{200b}c");
        assert_eq!(text("straße 漢字 🦀", 99), "straße 漢字 🦀");
    }

    #[test]
    fn what_is_escaped_for_terminals_is_escaped_here() {
        for c in ('\0'..=char::MAX).filter(|c| is_unsafe(*c) && *c != '\n') {
            assert_eq!(text(&c.to_string(), 9), format!("\\u{{{:x}}}", u32::from(c)));
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(text("äöü", 2), "äö…");
        assert_eq!(text("äöü", 3), "äöü");
    }
}
