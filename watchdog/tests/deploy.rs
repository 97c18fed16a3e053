//! What is deployed says what the code says: capabilities, ports, pages, paths, choices.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs;
use std::path::Path;

use clap::ValueEnum;
use watchdog::cli::{Arguments, FindingsFormat, LogFormat, SourceChoice};
use watchdog::config::DEFAULT_LISTEN;
use watchdog::privilege::NEEDED;
use watchdog::profile::builtin;

const MODES: [&str; 3] = ["privileged", "least-privilege", "inotify-only"];

/// A file of the repository.
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn plain(mode: &str) -> String {
    read(&format!("deploy/plain/{mode}.yaml"))
}

/// The items of the list below `key:`.
fn list<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let below = text.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    below.map_while(|line| line.trim().strip_prefix("- ")).collect()
}

/// Without the prefix that Kubernetes leaves out.
fn needed() -> Vec<&'static str> {
    NEEDED.map(|need| need.capability.as_str().trim_start_matches("CAP_")).into()
}

#[test]
fn manifests_grant_exactly_what_the_agent_holds() {
    assert_eq!(list(&plain("least-privilege"), "add"), needed());
    for mode in ["privileged", "inotify-only"] {
        assert!(list(&plain(mode), "add").is_empty(), "{mode}");
    }
    assert_eq!(list(&plain("inotify-only"), "drop"), ["ALL"]);
    assert_eq!(list(&read("deploy/chart/state-watchdog/templates/_pod.tpl"), "add")[..4], needed());
    let unit = read("deploy/systemd/state-watchdog.service");
    let full: Vec<_> = NEEDED.map(|need| need.capability.as_str()).into();
    for setting in ["AmbientCapabilities=", "CapabilityBoundingSet="] {
        let line = unit.lines().find_map(|line| line.strip_prefix(setting)).unwrap();
        assert_eq!(line.split(' ').collect::<Vec<_>>(), full, "{setting}");
    }
}

#[test]
fn the_guide_explains_every_capability() {
    let guide = read("deploy/README.md");
    for need in NEEDED {
        let row = format!("| `{}` |", need.capability.as_str());
        assert!(guide.contains(&row), "deploy/README.md has no row {row}");
    }
}

#[test]
fn ports_are_the_agents_default() {
    let port = DEFAULT_LISTEN.port();
    let values: serde_json::Value =
        serde_json::from_str(&read("deploy/chart/state-watchdog/values.schema.json")).unwrap();
    assert_eq!(values["properties"]["port"]["type"], "integer");
    assert!(read("deploy/chart/state-watchdog/values.yaml").contains(&format!("\nport: {port}\n")));
    let image = read("deploy/image/Containerfile");
    assert!(image.contains(&format!("EXPOSE {port}/tcp")) && image.contains(&format!(":{port}\"")));
    for mode in MODES {
        let text = plain(mode);
        for line in
            [format!("- --listen=0.0.0.0:{port}"), format!("containerPort: {port}"), format!("port: {port}")]
        {
            assert!(text.contains(&line), "{mode}: {line}");
        }
    }
}

#[test]
fn probes_ask_pages_that_there_are() {
    let routes = read("watchdog/src/http/routes.rs");
    let chart = read("deploy/chart/state-watchdog/templates/daemonset.yaml");
    let monitor = read("deploy/chart/state-watchdog/templates/podmonitor.yaml");
    let texts = MODES.map(plain).into_iter().chain([chart, monitor]);
    let mut asked = 0;
    for text in texts {
        // The chart's probes are a template that is told the page.
        let probes = text.split("\"path\" \"/").skip(1).filter_map(|rest| rest.split('"').next());
        let written = text.lines().filter_map(|line| line.trim().strip_prefix("path: /"));
        for page in written.chain(probes) {
            // Folders of the host stand under the same word.
            if page.ends_with('z') || page == "metrics" {
                assert!(routes.contains(&format!("\"/{page}\"")), "no page /{page}");
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 2 * (MODES.len() + 1) + 1);
}

#[test]
fn every_built_in_root_lies_in_what_is_mounted_or_the_guide_says_so() {
    for mode in MODES {
        let text = plain(mode);
        assert!(text.contains("mountPath: /host/run\n") && text.contains("path: /run\n"), "{mode}");
        assert!(text.contains("- --host-root=/host\n"), "{mode}");
    }
    let guide = read("deploy/README.md");
    for profile in builtin() {
        for root in &profile.roots {
            let told = guide.contains(&format!("`{root}`"));
            assert!(
                root.starts_with("/run/") || told,
                "{}: {root} is neither mounted nor told of",
                profile.name
            );
        }
    }
}

#[test]
fn the_schema_offers_what_the_command_line_takes() {
    let schema: serde_json::Value =
        serde_json::from_str(&read("deploy/chart/state-watchdog/values.schema.json")).unwrap();
    fn offered<T: ValueEnum>() -> Vec<String> {
        let mut names: Vec<_> = T::value_variants()
            .iter()
            .map(|one| one.to_possible_value().unwrap().get_name().to_owned())
            .collect();
        names.sort();
        names
    }
    let agent = &schema["properties"]["agent"]["properties"];
    for (value, names) in [
        ("source", offered::<SourceChoice>()),
        ("findings", offered::<FindingsFormat>()),
        ("arguments", offered::<Arguments>()),
        ("logFormat", offered::<LogFormat>()),
    ] {
        let mut found: Vec<_> = agent[value]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, names, "agent.{value}");
    }
}

#[test]
fn versions_are_the_agents() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = read("deploy/chart/state-watchdog/Chart.yaml");
    assert!(chart.contains(&format!("\nappVersion: {version}\n")), "Chart.yaml");
    for mode in MODES {
        assert!(plain(mode).contains(&format!("image: state-watchdog:{version}\n")), "{mode}");
    }
}
