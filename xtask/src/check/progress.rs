//! What a run is doing, how long that took last time, and what is left.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Instant};

use crate::{
    load::{Load, word_since},
    tools::Cache,
};

/// The file in the tools' folder that keeps how long each part took.
const FILE: &str = "durations.json";

/// Follows the parts of a run.
pub(super) struct Progress {
    file: PathBuf,
    /// Seconds of the last run in which a part passed, by name.
    last: BTreeMap<String, f64>,
    planned: Vec<&'static str>,
    done: usize,
    begun: Instant,
    whole: Load,
}

/// A part under way.
pub(super) struct Step {
    name: &'static str,
    begun: Instant,
    load: Load,
}

impl Progress {
    /// Reads what earlier runs took, and prints what is planned.
    pub(super) fn plan(cache: &Cache, planned: Vec<&'static str>) -> Self {
        let file = cache.folder().join(FILE);
        let text = fs::read_to_string(&file).unwrap_or_default();
        // Whatever stands there besides is worth no error.
        let last = serde_json::from_str(&text).unwrap_or_default();
        let progress = Self { file, last, planned, done: 0, begun: Instant::now(), whole: Load::now() };
        println!("{}: {}", progress.left(), progress.planned.join(", "));
        progress
    }

    /// Says what comes now.
    pub(super) fn begin(&mut self, name: &'static str, title: &str) -> Step {
        let last = match self.last.get(name) {
            Some(seconds) => format!("{} last time", spoken(*seconds)),
            None => "not timed here yet".to_owned(),
        };
        println!(
            "\n== {name} ({} of {}): {title}; {last}; {}",
            self.done + 1,
            self.planned.len(),
            self.left()
        );
        Step { name, begun: Instant::now(), load: Load::now() }
    }

    /// Says how long it took, and keeps that when the part passed.
    pub(super) fn end(&mut self, step: &Step, passed: bool) {
        self.done += 1;
        let seconds = step.begun.elapsed().as_secs_f64();
        println!("== {}: {}{}", step.name, spoken(seconds), word_since(step.load));
        if passed {
            self.last.insert(step.name.to_owned(), seconds);
            let text = serde_json::to_string_pretty(&self.last).unwrap_or_default();
            // It is for the eye alone.
            let _ = fs::write(&self.file, text);
        }
    }

    /// Says how long all of it took.
    pub(super) fn finish(&self) {
        println!("\nin {}{}:", spoken(self.begun.elapsed().as_secs_f64()), word_since(self.whole));
    }

    /// How long the rest will take, where that is known.
    fn left(&self) -> String {
        let rest = &self.planned[self.done..];
        let known: Vec<f64> = rest.iter().filter_map(|name| self.last.get(*name).copied()).collect();
        // The sum of nothing is minus zero, and would be printed so.
        let (unknown, seconds) = (rest.len() - known.len(), known.iter().fold(0.0, |sum, one| sum + one));
        let parts = |count: usize| if count == 1 { "1 part".to_owned() } else { format!("{count} parts") };
        match (known.len(), unknown) {
            (_, 0) => format!("{} left, about {}", parts(rest.len()), spoken(seconds)),
            (0, _) => format!("{} left", parts(rest.len())),
            (_, _) => {
                let known = spoken(seconds);
                format!("{} left, about {known} and {} not timed yet", parts(rest.len()), parts(unknown))
            }
        }
    }
}

/// Seconds up to two minutes, then minutes.
fn spoken(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.1} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(last: &[(&str, f64)], done: usize) -> Progress {
        Progress {
            file: PathBuf::new(),
            last: last.iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect(),
            planned: vec!["format", "lint", "unit"],
            done,
            begun: Instant::now(),
            whole: Load::now(),
        }
    }

    #[test]
    fn what_is_left_is_told_as_far_as_it_is_known() {
        assert_eq!(progress(&[], 0).left(), "3 parts left");
        let timed = [("format", 2.0), ("lint", 60.0), ("unit", 200.0)];
        assert_eq!(progress(&timed, 0).left(), "3 parts left, about 4.4 min");
        assert_eq!(progress(&timed, 1).left(), "2 parts left, about 4.3 min");
        assert_eq!(progress(&timed[..2], 1).left(), "2 parts left, about 60 s and 1 part not timed yet");
        assert_eq!(progress(&timed, 3).left(), "0 parts left, about 0 s");
    }
}
