//! Findings as the agent prints them: what the checks need of each, and the line itself as evidence.

use serde::Deserialize;

/// One line of `--findings json`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Finding {
    /// Which kind.
    pub(crate) kind: String,
    /// For writes.
    #[serde(default)]
    pub(crate) outcome: Option<String>,
    /// For writes: what the file held after them, where the agent looked in time.
    #[serde(default)]
    pub(crate) aftermath: Option<String>,
    /// The container.
    #[serde(default)]
    pub(crate) container_id: Option<String>,
    /// Its pod.
    #[serde(default)]
    pub(crate) pod: Option<Pod>,
    /// Its image.
    #[serde(default)]
    pub(crate) image: Option<String>,
    /// Who wrote.
    #[serde(default)]
    pub(crate) writer: Option<Process>,
    /// Who read.
    #[serde(default)]
    pub(crate) reader: Option<Process>,
    /// When, in the wall clock of the agent.
    #[serde(default)]
    pub(crate) time: String,
    /// What is known of who did it.
    #[serde(default)]
    pub(crate) attribution: String,
    /// The write window that it is about.
    #[serde(default)]
    pub(crate) window: Option<Window>,
    /// The read call that it is about.
    #[serde(default)]
    pub(crate) read: Option<Read>,
    /// One sentence for a person.
    #[serde(default)]
    pub(crate) message: String,
    /// The whole line.
    #[serde(skip)]
    pub(crate) line: String,
}

/// A pod, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pod {
    /// Its name.
    pub(crate) name: Option<String>,
    /// Its namespace.
    pub(crate) namespace: Option<String>,
    /// The container's name within it.
    pub(crate) container: Option<String>,
    /// Its uid.
    pub(crate) uid: Option<String>,
}

/// A write window, by which a finding names its session.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Window {
    /// When it began, as the agent writes it.
    #[serde(default)]
    pub(crate) start: String,
}

/// A read call, by which a finding about a reader is explained.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Read {
    /// Where it began.
    #[serde(default)]
    pub(crate) offset: Option<u64>,
    /// How many bytes it returned.
    #[serde(default)]
    pub(crate) returned: Option<u64>,
    /// The file's size when it began.
    #[serde(default)]
    pub(crate) size_before: Option<u64>,
    /// The file's size when it returned.
    #[serde(default)]
    pub(crate) size_at_read: Option<u64>,
    /// The file's size after the session.
    #[serde(default)]
    pub(crate) final_size: Option<u64>,
}

impl Read {
    /// True for a reader's first call that returned after the last change. Old bytes that the reader got came by it
    /// then, so it began before the first change too, and nothing tells which of its bytes it read when.
    pub(crate) fn spans_the_session(&self) -> bool {
        self.offset == Some(0) && self.size_at_read.is_some() && self.size_at_read == self.final_size
    }

    /// True for a reader's last call, `total` bytes from the file's start, when it began while the file had `size` and
    /// did not go beyond. The calls before it returned before it began, so all bytes may be those of the version of
    /// that size.
    pub(crate) fn began_at(&self, size: u64, total: u64) -> bool {
        let end = self.offset.zip(self.returned).map(|(offset, returned)| offset + returned);
        end == Some(total) && total <= size && self.size_before == Some(size)
    }
}

/// A process of a finding.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Process {
    /// Process id.
    #[serde(default)]
    pub(crate) pid: u32,
    /// Name.
    #[serde(default)]
    pub(crate) comm: String,
    /// Command line.
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

impl Finding {
    /// Reads one line.
    pub(crate) fn parse(line: &str) -> serde_json::Result<Self> {
        let finding: Self = serde_json::from_str(line)?;
        Ok(Self { line: line.to_owned(), ..finding })
    }

    /// The reader's process id, 0 when there is none.
    pub(crate) fn reader_pid(&self) -> u32 {
        self.reader.as_ref().map_or(0, |reader| reader.pid)
    }

    /// The program that the writer was started as, empty when there is no writer. A program that runs from a sealed
    /// copy of itself, as youki does, has a file descriptor's number for a process name.
    pub(crate) fn writer_program(&self) -> &str {
        let Some(writer) = &self.writer else { return "" };
        let started = writer.args.first().unwrap_or(&writer.comm);
        started.rsplit('/').next().unwrap_or(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_is_named_by_what_was_started() {
        let line = r#"{"kind":"torn_read","writer":{"pid":4,"comm":"4","args":["/opt/bin/youki","resume"]}}"#;
        assert_eq!(Finding::parse(line).unwrap().writer_program(), "youki");
        let line = r#"{"kind":"torn_read","writer":{"pid":4,"comm":"runc"}}"#;
        assert_eq!(Finding::parse(line).unwrap().writer_program(), "runc");
        assert_eq!(Finding::parse(r#"{"kind":"torn_read"}"#).unwrap().writer_program(), "");
    }
}
