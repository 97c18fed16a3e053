//! What holds the dashboards together: places, links, names.

use std::collections::BTreeSet;

use super::{super::boards::dashboards, expressions::selectors, metrics::values};

/// Bookmarks, links and the chart know the dashboards by these.
const UIDS: [&str; 3] = ["state-watchdog-fleet", "state-watchdog-node", "state-watchdog-health"];

#[test]
fn uids_are_as_ever() {
    assert_eq!(dashboards().map(|(_, dashboard)| dashboard.uid), UIDS);
    for (_, dashboard) in dashboards() {
        // Grafana's own limit.
        assert!(dashboard.uid.len() <= 40);
        assert_eq!(dashboard.schema_version, 38);
    }
}

#[test]
fn panels_lie_beside_each_other() {
    for (_, dashboard) in dashboards() {
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in &dashboard.panels {
            assert!(ids.insert(panel.id), "{}: {}", dashboard.title, panel.title);
            let place = panel.grid_pos;
            for x in place.x..place.x + place.w {
                for y in place.y..place.y + place.h {
                    assert!(x < 24 && taken.insert((x, y)), "{}: {}", dashboard.title, panel.title);
                }
            }
        }
        let height = taken.iter().map(|(_, y)| y + 1).max().unwrap();
        assert_eq!(taken.len(), usize::try_from(24 * height).unwrap(), "{} has holes", dashboard.title);
    }
}

#[test]
fn links_lead_to_dashboards_that_exist_and_to_the_runbook() {
    for (_, dashboard) in dashboards() {
        assert!(dashboard.links.iter().any(|link| link.url == "${runbook}"), "{}", dashboard.title);
        assert!(dashboard.links.iter().any(|link| link.kind == "dashboards" && link.tags == dashboard.tags));
        let text = serde_json::to_string(&dashboard).unwrap();
        for part in text.split("/d/").skip(1) {
            let uid = part.split('?').next().unwrap();
            assert!(UIDS.contains(&uid), "{}: {uid}", dashboard.title);
        }
        let variables: BTreeSet<_> = dashboard.templating.list.iter().map(|variable| variable.name).collect();
        assert!(variables.is_superset(&BTreeSet::from(["datasource", "cluster", "runbook"])));
        assert!(variables.contains("runtime") || variables.contains("instance"));
    }
}

/// A colour that is set for a series which never comes is a misspelling.
#[test]
fn what_is_changed_for_a_series_names_one() {
    for (_, dashboard) in dashboards() {
        for panel in &dashboard.panels {
            let mut names: BTreeSet<String> = BTreeSet::new();
            for target in &panel.targets {
                let expr = promql_parser::parser::parse(
                    &target
                        .expr
                        .replace("$__rate_interval", "5m")
                        .replace("$__range_s", "60")
                        .replace("$__range", "5m"),
                );
                let metric = selectors(&expr.unwrap())[0].name().to_owned();
                match target
                    .legend_format
                    .split_once("{{")
                    .and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
                {
                    Some((before, (label, after))) => names.extend(
                        values(&metric, label)
                            .or_else(|| values("", label))
                            .unwrap_or_default()
                            .iter()
                            .map(|value| format!("{before}{value}{after}")),
                    ),
                    None => {
                        names.insert(target.legend_format.to_owned());
                    }
                }
            }
            for transformation in &panel.transformations {
                if let Some(columns) = transformation["options"]["renameByName"].as_object() {
                    names.extend(columns.values().map(|name| name.as_str().unwrap().to_owned()));
                }
            }
            let Some(config) = &panel.field_config else { continue };
            for change in config.overrides.iter().filter(|change| change.matcher.id == "byName") {
                let name = change.matcher.options;
                assert!(names.contains(name), "{}: {}: no {name} in {names:?}", dashboard.title, panel.title);
            }
        }
    }
}
