//! The agents, what is scraped beside them, and Prometheus.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use workload::{How, Style};

use super::{
    listener::Listener,
    prometheus::{self, Scraped},
};
use crate::{
    agent::Agent,
    programs::Programs,
    prometheus::{Prometheus, Server},
    scratch::{Medium, Scratch},
    tools::Cache,
    truth::{Plan, Truth},
};

/// What the first agent's node is called.
pub(super) const NODE: &str = "node-1";
/// What the unsafe writer plays.
pub(super) const RUNTIME: &str = "demo-old";
/// What the safe writer plays.
const SAFE: &str = "demo-new";
/// How long the story for the pictures takes.
pub(super) const STORY: Duration = Duration::from_secs(210);

/// Writers with readers of which some fail: the runtime that each of them plays, and its work.
const PLANS: [(&str, Plan); 2] = [
    (RUNTIME, Plan { how: How::Truncate, style: Style::Go, writes: 400, reads: 2000 }),
    (SAFE, Plan { how: How::Rename, style: Style::Go, writes: 400, reads: 2000 }),
];

/// Everything, running.
pub(super) struct Stage {
    pub(super) prometheus: Prometheus,
    pub(super) listener: Listener,
    nodes: Vec<Node>,
    _alertmanager: Server,
    /// Removed after all that uses it is gone: the fields of a struct are dropped in their order.
    _scratch: Scratch,
}

/// One agent with roots of its own.
struct Node {
    name: String,
    folder: PathBuf,
    agent: Agent,
}

impl Node {
    fn start(programs: &Programs, scratch: &Scratch, number: usize) -> Result<Self> {
        let name = format!("node-{number}");
        let folder = scratch.folder(&name)?;
        let mut roots = Vec::new();
        for (runtime, plan) in PLANS {
            let root = folder.join(runtime);
            plan.prepare(&programs.workload, &root)?;
            roots.push((runtime, root));
        }
        let roots: Vec<_> = roots.iter().map(|(runtime, root)| (*runtime, root.as_path())).collect();
        let log = folder.join("agent.log");
        let agent = Agent::start(&programs.agent, &roots, &log, None)?;
        Ok(Self { name, folder, agent })
    }

    /// Runs some of the plans to their ends.
    fn run(&self, workload: &Path, plans: &[(&str, Plan)]) -> Result<Vec<Truth>> {
        let running: Vec<_> = plans
            .iter()
            .map(|(runtime, plan)| plan.start(workload, &self.folder.join(runtime), &self.folder))
            .collect::<Result<_>>()?;
        running.into_iter().map(|running| running.finish()).collect()
    }
}

impl Stage {
    /// Starts everything, and waits until the first rules have spoken.
    pub(super) fn open(programs: &Programs, cache: &Cache, nodes: usize) -> Result<Self> {
        let scratch = Scratch::new(Medium::Disk)?;
        let nodes: Vec<Node> =
            (1..=nodes).map(|number| Node::start(programs, &scratch, number)).collect::<Result<_>>()?;
        let listener = Listener::start()?;
        listener.serve("/metrics", beside(&nodes, 3));
        let mut scraped = Vec::new();
        for node in &nodes {
            scraped.push(Scraped {
                job: "state-watchdog",
                address: node.agent.address(),
                labels: vec![("cluster", "lab"), ("instance", &node.name)],
            });
        }
        scraped.push(Scraped {
            job: "kubernetes",
            address: listener.address(),
            labels: vec![("cluster", "lab")],
        });
        let folder = scratch.path().join("prometheus");
        let (prometheus, alertmanager) = prometheus::start(cache, &folder, &scraped, listener.address())?;
        for spoken in [
            "sum(cluster_version:state_watchdog_build_info:count)",
            "count(rate(prober_probe_total{result=\"failed\"}[1m]))",
            "count(count by (instance) (increase(instance_runtime:state_watchdog_torn_reads:sum_total[5m])))",
            "max(cluster_runtime:state_watchdog_instances:count)",
        ] {
            prometheus.wait_for(spoken, |count| count == nodes.len() as f64)?;
        }
        drop(scraped);
        Ok(Self { prometheus, listener, nodes, _alertmanager: alertmanager, _scratch: scratch })
    }

    /// Runs the workload on one node to its end.
    pub(super) fn run(&self, workload: &Path, node: usize) -> Result<Vec<Truth>> {
        self.nodes[node].run(workload, &PLANS)
    }

    /// One node after the other leaves the unsafe writer for the safe one; the last keeps it.
    pub(super) fn live_through_a_rollout(&self, workload: &Path) -> Result<()> {
        let begun = Instant::now();
        let mut failed = 3;
        while begun.elapsed() < STORY {
            for (at, node) in self.nodes.iter().enumerate() {
                let changed = STORY.mul_f64((at + 2) as f64 / (self.nodes.len() + 2) as f64);
                let is_last = at + 1 == self.nodes.len();
                let safe = begun.elapsed() > changed && !is_last;
                let plans = if safe { &PLANS[1..] } else { &PLANS[..] };
                let truths = node.run(workload, plans)?;
                failed += truths.iter().map(Truth::torn).sum::<u64>() / 20;
                self.listener.serve("/metrics", beside(&self.nodes, failed));
            }
        }
        Ok(())
    }
}

/// What kubelets and kube-state-metrics tell of the nodes: played, because no cluster runs here.
fn beside(nodes: &[Node], failed: u64) -> String {
    let mut text = "# TYPE prober_probe_total counter\n".to_owned();
    for (at, node) in nodes.iter().enumerate() {
        let failed = if at == 0 { failed } else { 0 };
        for (result, count) in [("failed", failed), ("successful", 90)] {
            let _ = writeln!(
                text,
                "prober_probe_total{{node=\"{}\",probe_type=\"Readiness\",result=\"{result}\"}} {count}",
                node.name
            );
        }
    }
    text.push_str("# TYPE kubelet_runtime_operations_errors_total counter\n");
    for (at, node) in nodes.iter().enumerate() {
        let _ = writeln!(
            text,
            "kubelet_runtime_operations_errors_total{{node=\"{}\",operation_type=\"exec_sync\"}} {}",
            node.name,
            if at == 0 { 2 * failed } else { 0 }
        );
    }
    text.push_str("# TYPE kube_node_info gauge\n");
    for (at, node) in nodes.iter().enumerate() {
        let image = if at == 0 { "image 41" } else { "image 42" };
        let _ = writeln!(
            text,
            "kube_node_info{{node=\"{}\",container_runtime_version=\"containerd://1.6.20\",os_image=\"{image}\"}} 1",
            node.name
        );
    }
    text
}
