//! Each alert is complete: words, tests, runbook.

use std::collections::BTreeSet;

use super::super::rules::{RUNBOOK_BASE, alerts, runbook};

/// What users are told, silence and route by.
const NAMES: [&str; 17] = [
    "StateWatchdogTornReadFailed",
    "StateWatchdogTornReads",
    "StateWatchdogNewNonatomicWriter",
    "StateWatchdogDamagedStateFile",
    "StateWatchdogDamagedReadFailed",
    "StateWatchdogAbsent",
    "StateWatchdogDown",
    "StateWatchdogNotReady",
    "StateWatchdogDegraded",
    "StateWatchdogSourceDown",
    "StateWatchdogSourceDegraded",
    "StateWatchdogProbeDown",
    "StateWatchdogCanaryMissed",
    "StateWatchdogEventsLost",
    "StateWatchdogAnomalies",
    "StateWatchdogNothingToWatch",
    "StateWatchdogConfigurationRefused",
];

#[test]
fn names_are_as_ever() {
    assert_eq!(alerts().map(|alert| alert.name).collect::<Vec<_>>(), NAMES);
}

#[test]
fn each_alert_is_shown_to_fire_and_not_to_fire() {
    for alert in alerts() {
        assert!(!alert.fires.alerts.is_empty() && !alert.fires.series.is_empty(), "{}", alert.name);
        assert!(!alert.silent.is_empty(), "{}", alert.name);
        let mut reasons = BTreeSet::new();
        for silent in alert.silent {
            assert!(
                !silent.series.is_empty() && reasons.insert(silent.why),
                "{}: {}",
                alert.name,
                silent.why
            );
        }
    }
}

#[test]
fn each_alert_says_what_and_what_to_do() {
    let page = runbook();
    for alert in alerts() {
        assert!(alert.summary.ends_with('.') && !alert.summary.contains('\n'), "{}", alert.name);
        assert!(alert.description.ends_with('.') && alert.description != alert.summary, "{}", alert.name);
        assert!(!alert.meaning.is_empty() && !alert.confirm.is_empty() && !alert.remedy.is_empty());
        assert!(page.contains(&format!("\n## {}\n", alert.name)), "{} has no section", alert.name);
        assert!(!alert.hold.is_empty() && !alert.severity.as_str().is_empty());
    }
    let mentioned = page.split(|c: char| !c.is_alphanumeric()).filter(|word| {
        word.starts_with("StateWatchdog") && word.chars().nth(13).is_some_and(char::is_uppercase)
    });
    for name in mentioned {
        assert!(NAMES.contains(&name), "the runbook speaks of {name}");
    }
    assert!(RUNBOOK_BASE.starts_with("https://"));
}
