//! Holds what the readers really got against what the agent said of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use workload::{Content, How, ReadRecord, Style, WriteRecord, render};

use crate::finding::{Finding, Read};

/// How much evidence one comparison prints at most.
const SHOWN: usize = 8;

/// The agent's strongest word on a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    /// `torn_read`.
    Torn,
    /// `damaged_read`.
    Damaged,
    /// `overlapping_read`.
    Overlapping,
    /// `exposed_reader`.
    Exposed,
    /// No finding.
    Nothing,
}

/// What the agent owes to the readers of one kind of save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Exactly the torn reads are told as torn, but for a mixed one that nothing proves: its first call spans the whole
    /// session, or what it got is as long as a complete version.
    Exact,
    /// As above, but a mixed read may be told as overlapping: while bytes are written over, a read call that
    /// overlaps the write call returns nothing that proves what it saw.
    Noticed,
    /// No complete read is told as torn or damaged. What is no version is told as torn, or as damaged where it lies at
    /// rest, if the agent could look at the file before the next save; one that is mixed while two write over each other may
    /// lack proof.
    Damaged,
    /// No read is told as torn: nothing that a mapping shows is seen. It is told as overlapping, and one that met an empty
    /// file mapped nothing.
    Unseen,
    /// No complete read is told as torn. An empty file that a dead writer left is a complete new version by its
    /// size, so an empty read of it need not be told.
    NeverFalse,
}

fn demand(how: How, style: Style) -> Demand {
    if style == Style::Mapped {
        return Demand::Unseen;
    }
    match how {
        How::Truncate
        | How::Chunks
        | How::Ftruncate
        | How::Recreate
        | How::Rename
        | How::RenameSync
        | How::Daemon
        | How::RenameEarly => Demand::Exact,
        How::Pair | How::Killed => Demand::Damaged,
        How::Overwrite | How::Append => Demand::Noticed,
        How::Die => Demand::NeverFalse,
    }
}

/// What one container's workload recorded.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// The container.
    pub(crate) container: String,
    /// How it was saved.
    pub(crate) how: How,
    /// Each save.
    pub(crate) writes: Vec<WriteRecord>,
    /// Each read.
    pub(crate) reads: Vec<ReadRecord>,
}

impl Truth {
    /// How many reads got what no atomic writer shows.
    pub(crate) fn torn(&self) -> u64 {
        self.reads.iter().filter(|read| read.content.is_torn()).count() as u64
    }
}

/// The confusion table, and each disagreement with its evidence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    /// Readers by what they got and what was said of them.
    pub(crate) table: BTreeMap<(Content, Told), u64>,
    /// One entry for each disagreement.
    pub(crate) disagreements: Vec<String>,
}

/// Compares one container's truth with all findings of the agent.
pub(crate) fn compare(truth: &Truth, findings: &[Finding]) -> Comparison {
    let mut comparison = Comparison::default();
    let own: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.container_id.as_deref() == Some(truth.container.as_str()))
        .collect();
    comparison.compare_reads(truth, &own);
    comparison.compare_writes(truth, &own);
    comparison
}

impl Comparison {
    fn compare_reads(&mut self, truth: &Truth, findings: &[&Finding]) {
        let mut told: BTreeMap<u32, Vec<&Finding>> = BTreeMap::new();
        for &finding in findings.iter().filter(|finding| read_verdict(finding).is_some()) {
            told.entry(finding.reader_pid()).or_default().push(finding);
        }
        // A process id may come twice in a long run, so each is compared as a group.
        let mut readers: BTreeMap<u32, Vec<&ReadRecord>> = BTreeMap::new();
        for read in &truth.reads {
            readers.entry(read.pid).or_default().push(read);
        }
        let sessions: Vec<&Finding> =
            findings.iter().copied().filter(|finding| finding.kind == "nonatomic_write").collect();
        for (pid, reads) in readers {
            let findings = told.remove(&pid).unwrap_or_default();
            self.compare_reader(truth, pid, &reads, &findings, &sessions);
        }
        for (pid, findings) in told {
            for finding in findings.iter().filter(|finding| finding.kind == "torn_read") {
                self.disagreements.push(format!("no reader {pid} is known, yet: {}", finding.line));
            }
        }
    }

    fn compare_reader(
        &mut self,
        truth: &Truth,
        pid: u32,
        reads: &[&ReadRecord],
        findings: &[&Finding],
        sessions: &[&Finding],
    ) {
        let mut told: Vec<Told> = findings.iter().filter_map(|finding| read_verdict(finding)).collect();
        told.sort_unstable();
        let mut reads = reads.to_vec();
        reads.sort_unstable_by_key(|read| !read.content.is_torn());
        for (index, read) in reads.iter().enumerate() {
            let word = told.get(index).copied().unwrap_or(Told::Nothing);
            *self.table.entry((read.content, word)).or_default() += 1;
            let torn = read.content.is_torn();
            let mut calls = findings.iter().filter_map(|finding| finding.read.as_ref());
            let spans = calls.any(|call| call.spans_the_session() || began_whole(truth, read, call));
            let agreed = match (torn, word, demand(truth.how, read.style)) {
                (_, _, Demand::Unseen) => match read.content {
                    Content::Complete | Content::Missing => word != Told::Torn,
                    Content::Empty => matches!(word, Told::Overlapping | Told::Exposed),
                    Content::Short | Content::Mixed | Content::Killed => word == Told::Overlapping,
                },
                (true, Told::Torn | Told::Damaged, Demand::Damaged) => true,
                (true, _, Demand::Damaged) if was_overwritten(truth, read, sessions) => true,
                (true, Told::Overlapping, Demand::Damaged) => {
                    read.content == Content::Mixed || overlaps_its_killed_save(truth, read)
                }
                (false, _, Demand::Damaged) => word != Told::Torn && word != Told::Damaged,
                (true, Told::Torn, _) | (true, _, Demand::NeverFalse) => true,
                (true, Told::Overlapping, Demand::Noticed) => read.content == Content::Mixed,
                (true, Told::Overlapping, Demand::Exact) => {
                    read.content == Content::Mixed && (spans || looks_whole(truth, read))
                }
                (true, _, _) => false,
                (false, _, _) => word != Told::Torn,
            };
            if !agreed {
                self.disagreements.push(evidence(truth, read, word, findings, sessions));
            }
        }
        // A reader that is proved torn and reads on is judged anew by the next session that it meets; by the same
        // session it must not be told twice.
        let torn = findings.iter().filter(|finding| read_verdict(finding) == Some(Told::Torn));
        let mut windows: Vec<&str> =
            torn.map(|finding| finding.window.as_ref().map_or("", |window| window.start.as_str())).collect();
        let said = windows.len();
        windows.sort_unstable();
        windows.dedup();
        if said > reads.len() && windows.len() < said {
            let lines: Vec<&str> = findings.iter().map(|finding| finding.line.as_str()).collect();
            self.disagreements
                .push(format!("reader {pid} is told as torn {said} times:\n{}", lines.join("\n")));
        }
    }

    fn compare_writes(&mut self, truth: &Truth, findings: &[&Finding]) {
        if truth.how.is_atomic() {
            let unexpected =
                findings.iter().map(|finding| format!("an atomic writer, yet: {}", finding.line));
            self.disagreements.extend(unexpected);
            return;
        }
        let sessions: Vec<&&Finding> =
            findings.iter().filter(|finding| finding.kind == "nonatomic_write").collect();
        if !truth.how.sessions(truth.writes.len() as u64).contains(&(sessions.len() as u64)) {
            let (saved, told) = (truth.writes.len(), sessions.len());
            self.disagreements.push(format!("{saved} saves, {told} findings of non-atomic writes"));
        }
        let judged = sessions.iter().filter(|session| session.aftermath.is_some()).count();
        if truth.how == How::Killed && judged * 3 < sessions.len() {
            let sessions = sessions.len();
            self.disagreements.push(format!("what {judged} of {sessions} saves left behind was looked at"));
        }
        let writers: BTreeSet<u32> =
            truth.writes.iter().flat_map(|write| [Some(write.pid), write.other]).flatten().collect();
        for session in sessions {
            let outcome = session.outcome.as_deref().unwrap_or_default();
            if outcome != truth.how.outcome() {
                let expected = truth.how.outcome();
                self.disagreements.push(format!("outcome {outcome}, not {expected}: {}", session.line));
            }
            if !session.writer.as_ref().is_some_and(|writer| writers.contains(&writer.pid)) {
                self.disagreements.push(format!("none of the writers {writers:?}: {}", session.line));
            }
        }
    }

    /// An error's text with all that is needed to understand the first disagreements; `None` when there are none.
    pub(crate) fn complaint(&self) -> Option<String> {
        let count = self.disagreements.len();
        let shown: Vec<&str> = self.disagreements.iter().take(SHOWN).map(String::as_str).collect();
        (count > 0).then(|| format!("{count} disagreements\n{self}\n{}", shown.join("\n")))
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "        {:>10} {:>12} {:>12} {:>12} {:>8} {:>8}",
            "got", "torn", "damaged", "overlapping", "exposed", "nothing"
        )?;
        let contents: BTreeSet<Content> = self.table.keys().map(|(content, _)| *content).collect();
        for content in contents {
            let count = |told| self.table.get(&(content, told)).copied().unwrap_or(0);
            let name = format!("{content:?}").to_lowercase();
            let (torn, damaged, overlapping) =
                (count(Told::Torn), count(Told::Damaged), count(Told::Overlapping));
            let (exposed, nothing) = (count(Told::Exposed), count(Told::Nothing));
            write!(
                f,
                "\n        {name:>10} {torn:>12} {damaged:>12} {overlapping:>12} {exposed:>8} {nothing:>8}"
            )?;
        }
        Ok(())
    }
}

/// True when a reader got as much as a version has that was there meanwhile, by a first call that returned within the
/// save. Its bytes are of two versions, so that call overlapped the change from one to the other, and the whole length is
/// that of a complete one: lengths and times, which are all that the agent sees, are those of a whole read. A reader that
/// asks for little at a time reads on, so it is the new version that it seems to have got.
fn looks_whole(truth: &Truth, read: &ReadRecord) -> bool {
    let during = |write: &&WriteRecord| write.begin <= read.first_end && read.begin <= write.end;
    let old = |write: &WriteRecord| (read.style != Style::Go).then(|| write.generation.saturating_sub(1));
    let versions = |write: &WriteRecord| old(write).into_iter().chain([write.generation]);
    let mut versions = truth.writes.iter().filter(during).flat_map(versions);
    versions.any(|version| render(version).len() as u64 == read.bytes)
}

/// True when the last call began before the save, and all that the reader got could be of the version before it. Only who
/// asks for little at a time stops there: it saw by the bytes, which the agent does not see, that they are not JSON.
fn began_whole(truth: &Truth, read: &ReadRecord, call: &Read) -> bool {
    let during = |write: &&WriteRecord| overlaps(write, read);
    let old = |write: &WriteRecord| render(write.generation.saturating_sub(1)).len() as u64;
    let mut versions = truth.writes.iter().filter(during).map(old);
    read.style == Style::Go && versions.any(|size| call.began_at(size, read.bytes))
}

/// Reports whether a save and a read overlap in time.
pub(super) fn overlaps(write: &WriteRecord, read: &ReadRecord) -> bool {
    write.begin <= read.end && read.begin <= write.end
}

/// Reports whether a read overlaps the killed save whose content it got, so that one of its calls may overlap a modification.
fn overlaps_its_killed_save(truth: &Truth, read: &ReadRecord) -> bool {
    let its = truth.writes.iter().find(|write| Some(write.generation) == read.generation);
    truth.how == How::Killed && its.is_some_and(|write| overlaps(write, read))
}

/// True when the next save began before the reader of what a killed writer had left was done, or before the agent had
/// looked at it, so that nobody knows what lay there. The session says the latter by having no aftermath.
fn was_overwritten(truth: &Truth, read: &ReadRecord, sessions: &[&Finding]) -> bool {
    let Some(generation) = read.generation.filter(|_| truth.how == How::Killed) else { return false };
    let next = truth.writes.iter().find(|write| write.generation > generation);
    let save = usize::try_from(generation).ok().and_then(|generation| generation.checked_sub(1));
    let session = save.and_then(|save| sessions.get(save));
    next.is_some_and(|next| next.begin <= read.end)
        || session.is_some_and(|session| session.aftermath.is_none())
}

fn read_verdict(finding: &Finding) -> Option<Told> {
    match finding.kind.as_str() {
        "torn_read" => Some(Told::Torn),
        "damaged_read" => Some(Told::Damaged),
        "overlapping_read" => Some(Told::Overlapping),
        "exposed_reader" => Some(Told::Exposed),
        _ => None,
    }
}

fn evidence(
    truth: &Truth,
    read: &ReadRecord,
    word: Told,
    findings: &[&Finding],
    sessions: &[&Finding],
) -> String {
    let mut text = format!(
        "{}: got {:?}, told {word:?}\n          read  {}",
        truth.container,
        read.content,
        serde_json::to_string(read).unwrap_or_default(),
    );
    // One writer saves in turn, so the sessions come in the order of the saves.
    for (index, write) in truth.writes.iter().enumerate() {
        if overlaps(write, read) {
            let session = sessions.get(index).map_or("no finding", |session| session.line.as_str());
            let write = serde_json::to_string(write).unwrap_or_default();
            text += &format!("\n          write {write}\n          told  {session}");
        }
    }
    for finding in findings {
        text += &format!("\n          told  {}", finding.line);
    }
    text
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
