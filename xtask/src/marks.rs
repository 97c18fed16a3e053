//! Pages of which a part is generated: between two lines that stay.

use anyhow::{Context as _, Result};

/// The lines between which a part is generated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// The page, as errors call it.
    pub(crate) page: &'static str,
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

impl Marks {
    /// The page's text with another part between the marks.
    pub(crate) fn renew(self, old: &str, text: &str) -> Result<String> {
        let Self { page, begin, end } = self;
        let (before, rest) = old.split_once(begin).with_context(|| format!("{page} has no line {begin}"))?;
        let (_, after) = rest.split_once(end).with_context(|| format!("{page} has no line {end}"))?;
        Ok(format!("{before}{begin}\n{text}{end}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_rewritten() {
        let marks = Marks { page: "PAGE.md", begin: "<!-- begin x -->", end: "<!-- end x -->" };
        let Marks { begin, end, .. } = marks;
        let page = format!("# Page\n\n{begin}\nold\n{end}\n\nmore\n");
        let once = marks.renew(&page, "new\n").unwrap();
        assert_eq!(once, format!("# Page\n\n{begin}\nnew\n{end}\n\nmore\n"));
        assert_eq!(marks.renew(&once, "new\n").unwrap(), once);
        assert!(marks.renew("# Page\n", "").is_err());
        assert!(marks.renew(begin, "").is_err());
    }
}
