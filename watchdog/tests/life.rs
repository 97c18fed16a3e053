//! Proof of life against the running kernel: probes that are attached and go mute are found out.
//!
//! Needs root and a kernel that takes the probes; else it prints why it cannot run, which is a failure where `CI=true`.
#![cfg(feature = "ebpf")]
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData, MapInfo};
use watchdog::agent::Agent;
use watchdog::cli::RunArgs;
use watchdog::config::Config;
use watchdog::health::Readiness;
use watchdog::http::{Shared, Status};
use watchdog::metrics::Metrics;
use watchdog::report::Outlet;
use watchdog::source::SourceError;
use watchdog::source::ebpf::{Options, SyscallsSource};

/// `watchdog_common::RootKey` and `RootValue`, to whoever empties the table.
type Key = [u8; size_of::<watchdog_common::RootKey>()];
type Value = [u8; size_of::<watchdog_common::RootValue>()];

#[tokio::test(flavor = "current_thread")]
async fn probes_that_go_mute_are_found_out() {
    let root = tempfile::tempdir().unwrap();
    let args = RunArgs { roots: vec![format!("test={}", root.path().display())], ..RunArgs::default() };
    let mut config = Config::resolve(&args, None).unwrap();
    config.canary_period = Duration::from_millis(50);
    let source = match SyscallsSource::attach(&Options { ring_bytes: 1 << 20, key: None }) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("skipped: {error}");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: {error}");
            return;
        }
    };
    let metrics = Metrics::new(&config.roots).unwrap();
    let shared = Arc::new(Shared::new(metrics, Status::starting(config.hash())));
    let agent = Agent::new(&config, source, Arc::clone(&shared), Outlet::closed());
    let run = agent.run(pending());
    let meddle = async {
        // Time is only a bound here: what is waited for is the counter.
        let patience = tokio::time::timeout(Duration::from_secs(60), async {
            while counted(&shared, "seen") < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        patience.await.expect("a source that works is seen to work, again and again");
        assert_eq!(shared.status().readiness, Readiness::Ready);
        assert_eq!(shared.status().proof_of_life.verdict, "alive");
        assert_eq!(counted(&shared, "missed"), 0);
        empty_roots();
        pending::<()>().await;
    };
    let result = tokio::select! {
        result = run => result,
        () = meddle => unreachable!("it waits for ever"),
        () = tokio::time::sleep(Duration::from_secs(180)) => panic!("mute probes went unnoticed"),
    };
    assert!(matches!(result, Err(SourceError::Mute { .. })), "{result:?}");
    assert_eq!(shared.status().readiness, Readiness::NotReady);
    assert_eq!(counted(&shared, "missed"), 2, "one miss is tried again");
    let page = shared.metrics.render();
    assert!(page.contains("state_watchdog_source_info{source=\"syscalls\"} 0\n"), "{page}");
}

fn counted(shared: &Shared, result: &str) -> u64 {
    let page = shared.metrics.render();
    let series = format!("state_watchdog_canary_writes_total{{result=\"{result}\",source=\"syscalls\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

/// Takes all roots out of the probes' table behind the agent's back.
fn empty_roots() {
    let mut emptied = 0;
    for entry in fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let Some(id) = text.lines().find_map(|line| line.strip_prefix("map_id:")) else { continue };
        let id: u32 = id.trim().parse().unwrap();
        if MapInfo::from_id(id).unwrap().name_as_str() != Some("ROOTS") {
            continue;
        }
        let mut roots: HashMap<MapData, Key, Value> =
            HashMap::try_from(Map::HashMap(MapData::from_id(id).unwrap())).unwrap();
        let keys: Vec<Key> = roots.keys().map(Result::unwrap).collect();
        for key in keys {
            roots.remove(&key).unwrap();
            emptied += 1;
        }
    }
    assert_eq!(emptied, 2, "the test's root and the canary's");
}
