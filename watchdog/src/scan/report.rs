//! What a scan tells, for programs and for people.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use crate::exit::Exit;
use crate::report::clean;

/// What was found. Lists are bounded; what does not fit is counted.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What was looked below.
    pub roots: Vec<ScannedRoot>,
    /// How many state files were read.
    pub state_files: u64,
    /// How many of them are broken.
    pub damaged_files: u64,
    /// The broken ones.
    pub damaged: Vec<Broken>,
    /// How many files and directories could not be read.
    pub unread_paths: u64,
    /// These.
    pub unread: Vec<Unread>,
    #[serde(skip)]
    denied: bool,
    #[serde(skip)]
    failed: bool,
}

/// A root as configured.
#[derive(Debug, Serialize)]
pub struct ScannedRoot {
    /// Which runtime.
    pub runtime: String,
    /// As configured.
    pub root: String,
    /// The directories that stand there.
    pub directories: Vec<String>,
}

/// A broken state file.
#[derive(Debug, Serialize)]
pub struct Broken {
    /// As the host names it.
    pub path: String,
    /// Which runtime.
    pub runtime: String,
    /// The runtime root.
    pub root: String,
    /// Which container.
    pub container_id: String,
    /// `empty`, `truncated` or `invalid`.
    pub damage: &'static str,
    /// Bytes.
    pub size: u64,
    /// When it was last modified, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// What the parser said, or what stands there instead of a file.
    pub error: String,
    /// Where the parser stopped; the first line is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Where the parser stopped; the first column is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// A file or a directory that could not be read.
#[derive(Debug, Serialize)]
pub struct Unread {
    /// As the host names it.
    pub path: String,
    /// Which runtime.
    pub runtime: String,
    /// Why.
    pub error: String,
}

impl Report {
    /// At most so many files and so many obstacles are listed.
    const MAX_LISTED: usize = 10_000;

    pub(super) fn broken(&mut self, broken: Broken) {
        self.damaged_files += 1;
        if self.damaged.len() < Self::MAX_LISTED {
            self.damaged.push(broken);
        }
    }

    pub(super) fn unread(&mut self, runtime: &str, path: &str, error: &io::Error) {
        // What went away meanwhile is no obstacle.
        if error.kind() == io::ErrorKind::NotFound {
            return;
        }
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        self.denied |= denied;
        self.failed |= !denied;
        self.unread_paths += 1;
        if self.unread.len() < Self::MAX_LISTED {
            let (runtime, path) = (runtime.to_owned(), path.to_owned());
            self.unread.push(Unread { path, runtime, error: error.to_string() });
        }
    }

    /// Adds what was found elsewhere.
    pub(super) fn add(&mut self, other: Self) {
        let Self { roots, state_files, damaged_files, damaged, unread_paths, unread, denied, failed } = other;
        self.roots.extend(roots);
        self.state_files += state_files;
        self.damaged_files += damaged_files;
        self.damaged.extend(damaged);
        self.damaged.truncate(Self::MAX_LISTED);
        self.unread_paths += unread_paths;
        self.unread.extend(unread);
        self.unread.truncate(Self::MAX_LISTED);
        self.denied |= denied;
        self.failed |= failed;
    }

    /// 1 with a broken file. Without one, 0 says that all were read: what was not makes it 77, or 74 where it is no
    /// matter of permission.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match (self.damaged_files, self.denied, self.failed) {
            (1.., _, _) => Exit::No,
            (0, true, _) => Exit::Permission,
            (0, false, true) => Exit::Unusable,
            (0, false, false) => Exit::Fine,
        }
    }

    /// For a program.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default()
    }

    /// For a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        for broken in &self.damaged {
            let Broken { path, runtime, container_id, damage, size, modified, error, .. } = broken;
            writeln!(
                text,
                "{:<9}  {:<10}  {:<12}  {}",
                damage.to_uppercase(),
                clean(runtime),
                clean(container_id),
                clean(path)
            )?;
            let modified = modified.as_ref().map_or(String::new(), |time| format!(", modified {time}"));
            writeln!(text, "           {size} bytes{modified}: {}", clean(error))?;
        }
        for Unread { path, runtime, error } in &self.unread {
            writeln!(text, "{:<9}  {:<10}  {}: {}", "unread", clean(runtime), clean(path), clean(error))?;
        }
        let (damaged, unread) = (self.damaged.len() as u64, self.unread.len() as u64);
        for (kind, left_out) in
            [("damaged", self.damaged_files - damaged), ("unread", self.unread_paths - unread)]
        {
            if left_out > 0 {
                writeln!(text, "and {left_out} more {kind}")?;
            }
        }
        let present: usize = self.roots.iter().map(|root| root.directories.len()).sum();
        if present == 0 {
            writeln!(text, "no runtime root is present")?;
        }
        write!(
            text,
            "{} read below {}: {} damaged",
            count(self.state_files, "state file"),
            count(present as u64, "root"),
            self.damaged_files
        )?;
        match self.unread_paths {
            0 => writeln!(text),
            paths => writeln!(text, ", {} could not be read", count(paths, "path")),
        }?;
        if self.denied {
            writeln!(text, "remedy: run as root, or grant CAP_DAC_READ_SEARCH")?;
        }
        Ok(())
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
