//! What a machine said on its serial line, taken apart.

use std::collections::BTreeMap;

const MARK: &str = "@@ ";

/// All that came, by section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    sections: BTreeMap<String, Section>,
    /// What stood outside of any section: messages of the firmware and of the kernel.
    pub(crate) outside: Vec<String>,
    /// True when the machine came to its end by itself.
    pub(crate) done: bool,
}

/// What stood between two marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its lines, without the empty ones.
    pub(crate) lines: Vec<String>,
    /// The exit status that it ended with; `None` when its end is missing.
    pub(crate) status: Option<i32>,
}

impl Transcript {
    /// Takes the text apart. Foreign lines within a section stay there: whoever reads the section must judge them.
    pub(crate) fn parse(text: &str) -> Self {
        let mut transcript = Self::default();
        let mut open: Option<String> = None;
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            // The firmware leaves escape sequences before the first line.
            let mark = line.find(MARK).map(|at| &line[at + MARK.len()..]);
            let words: Vec<&str> = mark.unwrap_or_default().split_whitespace().collect();
            match words[..] {
                ["done"] => transcript.done = true,
                ["begin", name] => {
                    transcript.sections.insert(name.to_owned(), Section::default());
                    open = Some(name.to_owned());
                }
                ["end", name, status] if open.as_deref() == Some(name) => {
                    if let Some(section) = transcript.sections.get_mut(name) {
                        section.status = status.parse().ok();
                    }
                    open = None;
                }
                _ if line.is_empty() => {}
                _ => match open.as_ref().and_then(|name| transcript.sections.get_mut(name)) {
                    Some(section) => section.lines.push(line.to_owned()),
                    None => transcript.outside.push(line.to_owned()),
                },
            }
        }
        transcript
    }

    /// True when the first program said anything: it does so before it starts another.
    pub(crate) fn has_begun(&self) -> bool {
        !self.sections.is_empty()
    }

    /// A section, when it came whole.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name).filter(|section| section.status.is_some())
    }

    /// The last lines that explain why a machine stopped, for a person.
    pub(crate) fn end(&self) -> String {
        let cut = self.sections.iter().find(|(_, section)| section.status.is_none());
        let cut = cut.map(|(name, section)| {
            let last = section.lines.last().map_or("", String::as_str);
            format!("the section {name} was cut off after {last:?}; ")
        });
        let last = self.outside.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join("\n");
        format!("{}its last words:\n{last}", cut.unwrap_or_default())
    }
}

impl Section {
    /// Its lines as one text.
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_from_what_the_kernel_says_between_them() {
        let text = "SeaBIOS\r\n\u{1b}c@@ begin a\r\none\r\n\r\ntwo\r\n@@ end a 0\r\nkernel: hm\r\n\
                    @@ begin b\r\n@@ end b 3\r\n@@ done\r\n";
        let transcript = Transcript::parse(text);
        assert_eq!(transcript.section("a").unwrap().lines, ["one", "two"]);
        assert_eq!(transcript.section("b").unwrap().status, Some(3));
        assert_eq!(transcript.outside, ["SeaBIOS", "kernel: hm"]);
        assert!(transcript.done);
    }

    #[test]
    fn a_section_without_its_end_is_not_given_out() {
        let transcript = Transcript::parse("@@ begin a\none\nKernel panic - not syncing");
        assert_eq!(transcript.section("a"), None);
        assert!(transcript.has_begun());
        assert!(!transcript.done);
        assert!(transcript.end().contains("Kernel panic"), "{}", transcript.end());
    }

    #[test]
    fn the_end_of_another_section_ends_nothing() {
        let transcript = Transcript::parse("@@ begin a\n@@ end b 0\none\n@@ end a 0\n");
        assert_eq!(transcript.section("a").unwrap().lines, ["@@ end b 0", "one"]);
        let transcript = Transcript::parse("@@ begin a\n@@ end a what\n@@ done");
        assert_eq!(transcript.section("a"), None);
        assert!(transcript.done);
    }

    #[test]
    fn a_kernel_that_dies_at_boot_has_begun_nothing() {
        let transcript =
            Transcript::parse("SeaBIOS\n[    1.5] Oops: int3: 0000 [#1]\n[    1.6] Kernel panic");
        assert!(!transcript.has_begun());
        assert_eq!(transcript.outside.len(), 3);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(Transcript::parse(""), Transcript::default());
    }
}
