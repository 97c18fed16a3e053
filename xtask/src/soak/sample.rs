//! What the agent holds at one moment, and whether it came to hold more.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{agent::Agent, deadline::output};

/// Two windows differ by that much when nothing grows: pages that the allocator holds back.
const NOISE_KIB: u64 = 2 << 10;
/// What the agent remembers of a container that is gone, and for how long at most: its name for ten minutes, whose it
/// was for five.
const GONE: (f64, Duration) = (1.0, Duration::from_secs(600));
/// Entries of calls that are under way at the moment of the look.
const UNDER_WAY: u64 = 8;

/// What it holds after a round, when nothing is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    at: Duration,
    /// Containers that came and went so far.
    gone: u64,
    /// Anonymous memory: what it allocated.
    memory_kib: u64,
    resident_kib: u64,
    descriptors: u64,
    threads: u64,
    /// Entries in hash maps, which the probes must take out again.
    entries: u64,
    /// Entries in maps from which the kernel takes the oldest when they are full.
    bounded: u64,
    /// Room in the latter.
    room: u64,
}

#[derive(Deserialize)]
struct Map {
    #[serde(rename = "type")]
    kind: String,
    max_entries: u64,
}

impl Sample {
    pub(super) fn take(agent: &Agent, at: Duration, gone: u64) -> Result<Self> {
        let process = Path::new("/proc").join(agent.pid()?.as_raw_nonzero().to_string());
        let status = fs::read_to_string(process.join("status")).context("the agent is gone")?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.with_context(|| format!("no {name} in its status"))?;
            Ok(text.trim().trim_end_matches(" kB").parse()?)
        };
        let mut sample = Self {
            at,
            gone,
            memory_kib: field("RssAnon:")?,
            resident_kib: field("VmRSS:")?,
            threads: field("Threads:")?,
            descriptors: fs::read_dir(process.join("fd"))?.count() as u64,
            ..Self::default()
        };
        for id in maps(&process)? {
            let map: Map = bpftool(&["map", "show", "id", &id])?;
            let entries = || {
                Ok::<_, anyhow::Error>(bpftool::<Vec<serde_json::Value>>(&["map", "dump", "id", &id])?.len())
            };
            match map.kind.as_str() {
                "hash" => sample.entries += entries()? as u64,
                "lru_hash" => {
                    sample.bounded += entries()? as u64;
                    sample.room += map.max_entries;
                }
                _ => {}
            }
        }
        Ok(sample)
    }
}

/// The maps that it has open.
fn maps(process: &Path) -> Result<BTreeSet<String>> {
    let mut maps = BTreeSet::new();
    for entry in fs::read_dir(process.join("fdinfo"))? {
        // A descriptor may be closed by now.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        maps.extend(text.lines().filter_map(|line| Some(line.strip_prefix("map_id:")?.trim().to_owned())));
    }
    ensure!(!maps.is_empty(), "the agent has no maps, so there is nothing to watch");
    Ok(maps)
}

fn bpftool<T: serde::de::DeserializeOwned>(words: &[&str]) -> Result<T> {
    let output =
        output(Command::new("bpftool").arg("--json").args(words), "bpftool", Duration::from_secs(60))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "bpftool {words:?}: {}", said.trim());
    serde_json::from_slice(&output.stdout).with_context(|| format!("bpftool {words:?} printed no JSON"))
}

/// Medians of each fifth of the time as a table; an error when the last one holds more than the second.
pub(super) fn judge(samples: &[Sample]) -> Result<String> {
    let whole = samples.last().context("no round was finished")?.at;
    let mut fifths: BTreeMap<u32, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let fifth = (sample.at.as_secs_f64() / whole.as_secs_f64() * 5.0) as u32;
        fifths.entry(fifth.min(4)).or_default().push(sample);
    }
    let mut table = String::from(
        "        fifth  memory MiB  resident MiB  descriptors  threads  map entries  in bounded maps",
    );
    for (fifth, samples) in &fifths {
        let of = |value: fn(&Sample) -> u64| median(samples, value);
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(
            table,
            "\n        {:>5}  {:>10.1}  {:>12.1}  {:>11}  {:>7}  {:>11}  {:>15}",
            fifth + 1,
            mib(of(|sample| sample.memory_kib)),
            mib(of(|sample| sample.resident_kib)),
            of(|sample| sample.descriptors),
            of(|sample| sample.threads),
            of(|sample| sample.entries),
            of(|sample| sample.bounded),
        )?;
    }
    let (Some(early), Some(late)) = (fifths.get(&1), fifths.get(&4)) else {
        anyhow::bail!("too few rounds to compare:\n{table}");
    };
    let grown = |value: fn(&Sample) -> u64| median(late, value).saturating_sub(median(early, value));
    let remembered = remembered(samples, late).saturating_sub(remembered(samples, early));
    let allowed = NOISE_KIB + (remembered as f64 * GONE.0) as u64;
    let memory = grown(|sample| sample.memory_kib);
    ensure!(memory <= allowed, "{memory} KiB of memory more, {allowed} KiB are accounted for:\n{table}");
    ensure!(grown(|sample| sample.descriptors) <= 1, "more descriptors:\n{table}");
    ensure!(grown(|sample| sample.threads) == 0, "more threads:\n{table}");
    ensure!(grown(|sample| sample.entries) <= UNDER_WAY, "the probes leave entries in their maps:\n{table}");
    let full = samples.iter().find(|sample| sample.bounded > sample.room);
    ensure!(full.is_none(), "a bounded map is not: {full:?}");
    write!(
        table,
        "\n        from the second fifth to the last: {memory} KiB more, {remembered} more containers that are gone and \
         not forgotten yet"
    )?;
    Ok(table)
}

/// How many containers that are gone the agent remembers in the middle of a window.
fn remembered(samples: &[Sample], window: &[&Sample]) -> u64 {
    let Some(middle) = window.get(window.len() / 2) else { return 0 };
    let since = middle.at.saturating_sub(GONE.1);
    let before = samples.iter().rev().find(|sample| sample.at <= since).map_or(0, |sample| sample.gone);
    middle.gone - before
}

fn median(samples: &[&Sample], value: fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(|sample| value(sample)).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(change: impl Fn(u64, &mut Sample)) -> Vec<Sample> {
        let sample = |number: u64| {
            let at = Duration::from_secs(number * 6);
            let mut sample =
                Sample { at, gone: number * 60, memory_kib: 10_000, descriptors: 50, ..Sample::default() };
            change(number, &mut sample);
            sample
        };
        (1..=30).map(sample).collect()
    }

    #[test]
    fn what_stays_as_it_is_or_swings_is_no_growth() {
        assert!(judge(&samples(|number, sample| sample.memory_kib += number % 7 * 500)).is_ok());
        assert!(
            judge(&samples(|number, sample| sample.memory_kib += number * 20)).is_ok(),
            "names remembered"
        );
    }

    #[test]
    fn what_grows_is_found_out() {
        let complaint = |change: fn(u64, &mut Sample)| judge(&samples(change)).unwrap_err().to_string();
        assert!(complaint(|number, sample| sample.memory_kib += number * 400).contains("of memory more"));
        assert!(complaint(|number, sample| sample.descriptors += number / 5).contains("more descriptors"));
        assert!(complaint(|number, sample| sample.entries = number * 2).contains("leave entries"));
        assert!(complaint(|number, sample| sample.threads = number / 20).contains("more threads"));
    }
}
