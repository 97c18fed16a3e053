//! Holds what the engine put out against what is to be concluded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use watchdog::model::{
    AnomalyKind, DamagedReadReport, EventOperation, ExitStatus, Follows, OpenId, Output, Pid, ReadReport,
    ReaderResult, Verdict,
};

use super::played::Played;
use super::run::Run;
use super::schedule::SECOND;
use super::truth::{self, readers::Judged, session::Ended};

/// How much was compared.
#[derive(Default)]
pub(crate) struct Compared {
    counts: BTreeMap<&'static str, usize>,
}

impl Compared {
    fn count(&mut self, what: &'static str, by: usize) {
        *self.counts.entry(what).or_default() += by;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, by) in &other.counts {
            self.count(what, *by);
        }
    }

    /// The schedules are not too tame for what they are to show.
    pub(crate) fn assert_enough(&self) {
        let met =
            ["torn", "verdicts", "exactly torn", "tails", "damaged reads", "incomplete_replace", "cuts"];
        for what in met {
            assert!(self.counts.contains_key(what) || what == "cuts", "no {what} in any schedule: {self}");
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, count)) in self.counts.iter().enumerate() {
            write!(f, "{}{count} {what}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// The worst verdict on each description, and how often it got one.
pub(crate) fn verdicts(outputs: &[(u64, Output)]) -> BTreeMap<OpenId, (Verdict, usize)> {
    let mut verdicts: BTreeMap<OpenId, (Verdict, usize)> = BTreeMap::new();
    let rank = |verdict| {
        use Verdict::{Exposed, Guarded, Overlapping, Torn, Unknown};
        [Exposed, Guarded, Overlapping, Unknown, Torn].iter().position(|known| *known == verdict)
    };
    for (_, output) in outputs {
        if let Output::Read(report) = output {
            let entry = verdicts.entry(report.open).or_insert((report.verdict, 0));
            entry.1 += 1;
            if rank(report.verdict) > rank(entry.0) {
                entry.0 = report.verdict;
            }
        }
    }
    verdicts
}

/// How much of a run is as it is to be, or the first thing that is not. What stands before the colon names its kind.
pub(crate) fn compare(played: &Played, run: &Run) -> Result<Compared, String> {
    let mut compared = Compared::default();
    if let Some(stuck) = run.stuck {
        return Err(format!("stuck: a deadline stays at {stuck}"));
    }
    let expected = truth::judge(played, run);
    let given = verdicts(&run.outputs);
    for judged in &expected.readers {
        check_reader(judged, given.get(&judged.id).copied(), run)?;
        let verdict = given.get(&judged.id).map(|(verdict, _)| *verdict);
        compared.count("verdicts", usize::from(verdict.is_some()));
        compared.count("torn", usize::from(verdict == Some(Verdict::Torn)));
        compared
            .count("exact verdicts", usize::from(judged.verdict.is_some_and(|verdict| verdict.is_some())));
        compared.count("exactly torn", usize::from(judged.verdict == Some(Some(Verdict::Torn))));
        compared.count("certainly torn", usize::from(judged.certainly_torn));
        compared.count("versions got", usize::from(judged.got_a_version.is_some()));
        compared.count("damaged reads", usize::from(matches!(judged.damaged.must, Some(Some(_)))));
    }
    for id in given.keys() {
        if !expected.readers.iter().any(|judged| judged.id == *id) {
            return Err(format!("no reader: a verdict on {id:?}"));
        }
    }
    let mut told: Vec<Ended> = run.outputs.iter().filter_map(|(_, output)| Ended::of(output)).collect();
    told.sort();
    compared.count("sessions", told.len());
    if told.iter().any(|session| session.outcome == "incomplete_replace") {
        compared.count("incomplete_replace", 1);
    }
    if let Some(mut due) = expected.sessions {
        due.sort();
        if told != due {
            let only = |these: &[Ended], those: &[Ended]| -> Vec<Ended> {
                these.iter().filter(|one| !those.contains(one)).cloned().collect()
            };
            return Err(format!("sessions: {:?}, but due {:?}", only(&told, &due), only(&due, &told)));
        }
        compared.count("schedules compared by session", 1);
    }
    if let Some(unasked) = expected.unasked {
        return Err(format!("unasked: {unasked}"));
    }
    for (_, output) in &run.outputs {
        let Output::Anomaly(anomaly) = output else { continue };
        // Each of them that goes back begins a pass, and the oldest are forgotten.
        let forgotten = anomaly.kind == AnomalyKind::ArrivedTooLate
            && expected.readers.iter().any(|judged| judged.without_order);
        if anomaly.kind != AnomalyKind::DeadlinePassed && !forgotten {
            return Err(format!("anomaly {}: {anomaly:?}", anomaly.kind.as_str()));
        }
    }
    check_exits(run)?;
    compared.count("tails", run.events.iter().filter(|happened| happened.bytes.contains(&0)).count());
    Ok(compared)
}

fn reports(run: &Run, id: OpenId) -> Vec<&ReadReport> {
    let reports = run.outputs.iter().filter_map(|(_, output)| match output {
        Output::Read(report) if report.open == id => Some(&**report),
        _ => None,
    });
    reports.collect()
}

fn damaged(run: &Run, id: OpenId) -> Vec<(u64, &DamagedReadReport)> {
    let reports = run.outputs.iter().filter_map(|(at, output)| match output {
        Output::DamagedRead(report) if report.open == id => Some((*at, &**report)),
        _ => None,
    });
    reports.collect()
}

fn check_reader(judged: &Judged, given: Option<(Verdict, usize)>, run: &Run) -> Result<(), String> {
    let verdict = given.map(|(verdict, _)| verdict);
    let reports = reports(run, judged.id);
    let damaged = damaged(run, judged.id);
    let say = |what: &str| Err(format!("{what}: {verdict:?} for {judged:?}\n{reports:?}\n{damaged:?}"));
    // What it really got: a complete version is never torn as soon as it can be known of, and what is no version and was
    // read without any call meeting any operation always is.
    if let Some(known) = judged.got_a_version
        && reports.iter().any(|report| report.verdict == Verdict::Torn && report.judged.0 >= known)
    {
        return say("falsely torn");
    }
    if judged.certainly_torn && verdict != Some(Verdict::Torn) {
        return say("torn in truth");
    }
    if verdict == Some(Verdict::Unknown) && !judged.modified {
        return say("unknown without a loss");
    }
    match judged.damaged.must {
        Some(Some(damage)) if !damaged.iter().any(|(_, report)| report.damage == damage) => {
            return say("damage missed");
        }
        Some(None) if !damaged.is_empty() => return say("damage invented"),
        _ => {}
    }
    if damaged.iter().any(|(_, report)| !judged.damaged.may.contains(&report.damage)) {
        return say("damage invented");
    }
    if damaged.len() > 1 {
        return say("damage repeated");
    }
    if judged.passes <= 1 && !damaged.is_empty() && verdict == Some(Verdict::Torn) {
        return say("torn and damaged");
    }
    // What is told as damaged while a call is under way that nobody knows of yet is told.
    if !damaged.is_empty() && judged.damaged.is_anything() && verdict.is_none() {
        return Ok(());
    }
    if verdict == Some(Verdict::Torn) && judged.met_unknown && judged.got_a_version.is_none() {
        return Ok(());
    }
    // Who got what is damaged at rest, in a window or not, has that said of it.
    if let Some(expected) = judged.verdict
        && verdict != expected
        && (damaged.is_empty() || expected == Some(Verdict::Torn) || expected.is_none())
    {
        let word = |verdict: Option<Verdict>| verdict.map_or("none", Verdict::as_str);
        return say(&format!("verdict {} instead of {}", word(verdict), word(expected)));
    }
    if let Some(due) = judged.due {
        if reports.iter().any(|report| report.judged.0 > due + 2 * SECOND + 1_000) {
            return say("late");
        }
        if judged.passes <= 1 && judged.touched == 1 && given.is_some_and(|(_, often)| often > 1) {
            return say("repeated");
        }
    }
    Ok(())
}

/// One exit for each process that is torn or damaged, with how it really ended.
fn check_exits(run: &Run) -> Result<(), String> {
    let mut exits: BTreeMap<Pid, Vec<_>> = BTreeMap::new();
    let (mut torn, mut damaged) = (BTreeSet::new(), BTreeSet::new());
    for (at, output) in &run.outputs {
        match output {
            Output::ReaderExit(exit) => exits.entry(exit.reader.pid).or_default().push((*at, exit)),
            Output::Read(report) if report.verdict == Verdict::Torn => {
                torn.insert(report.reader.pid);
            }
            Output::DamagedRead(report) => {
                damaged.insert(report.reader.pid);
            }
            _ => {}
        }
    }
    for pid in torn.union(&damaged) {
        let told = exits.remove(pid).unwrap_or_default();
        let [(_, exit)] = told.as_slice() else {
            return Err(format!("exits: {} of {pid:?}: {told:?}", told.len()));
        };
        let follows = if torn.contains(pid) { Follows::Torn } else { Follows::Damaged };
        let ended = run.events.iter().find_map(|happened| match &happened.event.operation {
            EventOperation::Exit { status } if happened.event.actor.pid == *pid => Some(*status),
            _ => None,
        });
        let result = match ended {
            Some(ExitStatus::Code(0)) => ReaderResult::Success,
            Some(_) => ReaderResult::Failure,
            None => ReaderResult::Unknown,
        };
        // What is found torn only after the process has ended cannot be known then.
        let later = run.outputs.iter().any(|(at, output)| {
            matches!(output, Output::Read(report)
                if report.verdict == Verdict::Torn && report.reader.pid == *pid && *at >= exit.at.0)
        });
        let right = (exit.follows == follows || later)
            && (exit.result == ReaderResult::Unknown || exit.result == result && exit.status == ended);
        if !right {
            return Err(format!("exit wrong: {exit:?}, but {follows:?} and {result:?}"));
        }
    }
    match exits.into_values().flatten().next() {
        Some((_, exit)) => Err(format!("exit invented: {exit:?}")),
        None => Ok(()),
    }
}
