//! The agent's metrics, as a scrape gives them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// What the agent could not tell of, by reason.
const LOST: &str = "state_watchdog_events_lost_total";

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Vec<Sample>);

/// One line of the text format.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format; lines that are none of it are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of all samples of `name` that carry `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// As [`Metrics::sum`], for what counts things.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        // Counters are whole numbers well below 2^53.
        self.sum(name, labels) as u64
    }

    /// The sums of `name` by the values of one label, among the samples that carry `labels`.
    pub(crate) fn by(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for sample in self.matching(name, labels) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_insert(0) += sample.value as u64;
            }
        }
        sums
    }

    /// How many events the agent lost.
    pub(crate) fn lost(&self) -> u64 {
        self.count(LOST, &[])
    }

    /// An error that says by reason what the agent lost, or that it counts no losses.
    pub(crate) fn nothing_lost(&self) -> Result<()> {
        let reasons = self.by(LOST, "reason", &[]);
        ensure!(!reasons.is_empty(), "the agent has no count of lost events");
        ensure!(reasons.values().all(|count| *count == 0), "events were lost: {reasons:?}");
        Ok(())
    }

    /// The same, but for so many events at most that were lost for one reason; gives how many were.
    pub(crate) fn nothing_lost_but(&self, reason: &str, most: u64) -> Result<u64> {
        let lost = self.count(LOST, &[("reason", reason)]);
        if lost == 0 || lost > most || lost != self.lost() {
            self.nothing_lost()?;
        }
        Ok(lost)
    }

    /// The upper bound of the histogram bucket in which the median lies, in the histogram's unit.
    pub(crate) fn median(&self, histogram: &str) -> Option<f64> {
        let total = self.sum(&format!("{histogram}_count"), &[]);
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for sample in self.matching(&format!("{histogram}_bucket"), &[]) {
            let bound: f64 = sample.labels.get("le")?.parse().ok()?;
            buckets.entry(bound.to_bits()).or_insert((bound, 0.0)).1 += sample.value;
        }
        // Bounds are not negative, so their bits sort as they do.
        buckets.into_values().find(|(_, below)| total > 0.0 && *below * 2.0 >= total).map(|(bound, _)| bound)
    }

    fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = match line.split_once('}') {
        Some((series, value)) => (series, value),
        None => line.split_once(' ')?,
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let mut pairs = BTreeMap::new();
    let mut rest = labels;
    while let Some((label, behind)) = rest.split_once("=\"") {
        let (text, after) = behind.split_once('"')?;
        pairs.insert(label.trim_start_matches(',').trim().to_owned(), text.to_owned());
        rest = after;
    }
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels: pairs, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "\
# HELP reads_total Reads.
# TYPE reads_total counter
reads_total{runtime=\"a\",verdict=\"torn\"} 3
reads_total{runtime=\"b\",verdict=\"torn\"} 4
reads_total{runtime=\"a\",verdict=\"exposed\"} 0
up 1
delay_bucket{le=\"0.001\"} 2
delay_bucket{le=\"0.005\"} 9
delay_bucket{le=\"+Inf\"} 10
delay_count 10
not a sample
";

    #[test]
    fn what_was_lost_is_told_by_reason() {
        let told = |text: &str| Metrics::parse(text).nothing_lost().map_err(|error| error.to_string());
        let lost = "state_watchdog_events_lost_total{reason=\"ring_full\"} 2\n";
        assert_eq!(Metrics::parse(lost).lost(), 2);
        assert_eq!(told(lost).unwrap_err(), "events were lost: {\"ring_full\": 2}");
        assert_eq!(told(&lost.replace('2', "0")), Ok(()));
        assert!(told(SCRAPE).is_err(), "nobody counts");
        let but = |reason: &str, most| Metrics::parse(lost).nothing_lost_but(reason, most).ok();
        assert_eq!((but("ring_full", 2), but("ring_full", 1), but("other", 9)), (Some(2), None, None));
        assert!(Metrics::parse(SCRAPE).nothing_lost_but("ring_full", 9).is_err(), "nobody counts");
    }

    #[test]
    fn samples_are_summed_over_the_labels_not_named() {
        let metrics = Metrics::parse(SCRAPE);
        assert_eq!(metrics.count("reads_total", &[("verdict", "torn")]), 7);
        assert_eq!(metrics.count("reads_total", &[("verdict", "torn"), ("runtime", "b")]), 4);
        assert_eq!(metrics.count("up", &[]), 1);
        assert_eq!(metrics.count("absent", &[]), 0);
        let by = metrics.by("reads_total", "verdict", &[("runtime", "a")]);
        assert_eq!(by, BTreeMap::from([("exposed".into(), 0), ("torn".into(), 3)]));
    }

    #[test]
    fn the_median_is_the_first_bucket_that_holds_half() {
        assert_eq!(Metrics::parse(SCRAPE).median("delay"), Some(0.005));
        assert_eq!(Metrics::parse("delay_count 0\n").median("delay"), None);
    }
}
