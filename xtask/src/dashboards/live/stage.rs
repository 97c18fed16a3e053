//! The agent, what is scraped beside it, and Prometheus.

use std::path::{Path, PathBuf};

use anyhow::Result;
use workload::{How, Style};

use super::{
    listener::Listener,
    prometheus::{Prometheus, Scraped},
};
use crate::{
    agent::Agent,
    check::Programs,
    scratch::{Medium, Scratch},
    tools::Cache,
    truth::{Plan, Truth},
};

/// What the agent's node is called.
pub(super) const NODE: &str = "node-1";
/// What the workload plays.
pub(super) const RUNTIME: &str = "demo";

/// An unsafe and a safe writer, with readers of which some fail.
const PLANS: [Plan; 2] = [
    Plan { how: How::Truncate, style: Style::Go, writes: 400, reads: 2000 },
    Plan { how: How::Rename, style: Style::Go, writes: 400, reads: 2000 },
];

/// What a kubelet and kube-state-metrics tell of the node: played, because no cluster runs here.
const BESIDE: &str = "\
# TYPE prober_probe_total counter
prober_probe_total{probe_type=\"Readiness\",result=\"failed\",container=\"app\",pod=\"app-0\",namespace=\"default\"} 3
prober_probe_total{probe_type=\"Readiness\",result=\"successful\",container=\"app\",pod=\"app-0\",namespace=\"default\"} 90
# TYPE kube_node_info gauge
kube_node_info{node=\"node-1\",container_runtime_version=\"containerd://1.6.20\",os_image=\"Debian 12\"} 1
";

/// Everything, running.
pub(super) struct Stage {
    pub(super) prometheus: Prometheus,
    pub(super) listener: Listener,
    root: PathBuf,
    counters: PathBuf,
    _agent: Agent,
    /// Removed after all that uses it is gone: the fields of a struct are dropped in their order.
    _scratch: Scratch,
}

impl Stage {
    /// Starts everything, and waits until the first rules have spoken.
    pub(super) fn open(programs: &Programs, cache: &Cache) -> Result<Self> {
        let scratch = Scratch::new(Medium::Disk)?;
        let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
        for plan in PLANS {
            plan.prepare(&programs.workload, &root)?;
        }
        let log = scratch.path().join("agent.log");
        let agent = Agent::start(&programs.agent, &[(RUNTIME, &root)], &log, None)?;
        let listener = Listener::start()?;
        listener.serve("/metrics", BESIDE.to_owned());
        let target = |job, address, labels| Scraped { job, address, labels };
        let scraped = [
            target("state-watchdog", agent.address(), &[("cluster", "lab"), ("instance", NODE)][..]),
            target("kubernetes", listener.address(), &[("cluster", "lab"), ("node", NODE)][..]),
        ];
        let prometheus =
            Prometheus::start(cache, &scratch.path().join("prometheus"), &scraped, listener.address())?;
        prometheus.wait_for("sum(cluster_version:state_watchdog_build_info:count)", |count| count == 1.0)?;
        prometheus.wait_for("count(rate(prober_probe_total[1m]))", |count| count >= 1.0)?;
        prometheus
            .wait_for("count(cluster_runtime:state_watchdog_unsafe_instances:count)", |count| count >= 1.0)?;
        prometheus.wait_for(
            "count(increase(instance_runtime:state_watchdog_torn_reads:sum_total[5m]))",
            |count| count >= 1.0,
        )?;
        Ok(Self { prometheus, listener, root, counters, _agent: agent, _scratch: scratch })
    }

    /// Runs the workload to its end.
    pub(super) fn run(&self, workload: &Path) -> Result<Vec<Truth>> {
        let running: Vec<_> = PLANS
            .iter()
            .map(|plan| plan.start(workload, &self.root, &self.counters))
            .collect::<Result<_>>()?;
        running.into_iter().map(|running| running.finish()).collect()
    }
}
