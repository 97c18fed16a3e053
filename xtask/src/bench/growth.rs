//! How the agent grows: with the containers that stand there, and with what happens to their state files.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    page::{self, Part},
    plot,
    throughput::{Played, play, received},
};
use crate::{
    agent::Agent,
    markdown::Table,
    repository::Repository,
    scale::{self, Figures, Scrape},
};

/// Where the curves are drawn.
const PICTURE: &str = "docs/images/growth.svg";
const LINK: &str = "![Memory by containers, processor by operations](images/growth.svg)";

/// How many containers stand there.
const CONTAINERS: [usize; 6] = [10, 100, 1_000, 5_000, 10_000, 20_000];
/// How much happens to state files, a second.
const RATES: [u64; 6] = [1, 10, 100, 500, 1_000, 5_000];
/// How long each lasts.
const IDLE: Duration = Duration::from_secs(30);
const BUSY: u64 = 20;

/// What was measured at one rate.
struct Load {
    rate: u64,
    /// Operations that were told.
    told: u64,
    lost: u64,
    /// Part of one processor.
    cpu: f64,
    resident: f64,
    scrape: Scrape,
}

/// Measures all, prints the tables, and writes page and picture when asked to.
pub(super) fn growth(agent: &Path, workload: &Path, repository: &Repository) -> Result<()> {
    let mut crowds = Vec::new();
    for containers in CONTAINERS {
        let figures = scale::measure(agent, &[], containers, IDLE)
            .with_context(|| format!("over {containers} containers"))?;
        println!("{containers:>6} containers: {figures}");
        crowds.push((containers, figures));
    }
    let mut loads = Vec::new();
    for rate in RATES {
        let load = load(rate, agent, workload).with_context(|| format!("at {rate} operations a second"))?;
        println!("{rate:>6} a second: {:.2} % of a core", load.cpu * 100.0);
        loads.push(load);
    }
    let tables = tables(&crowds, &loads);
    println!("\n{tables}");
    if page::is_wanted() {
        page::write(repository, Part::Growth, &format!("{LINK}\n\n{tables}"))?;
        let curves = [
            plot::Curve {
                title: "Resident memory, MiB, by containers",
                points: crowds.iter().map(|(count, figures)| (*count as f64, figures.resident)).collect(),
            },
            plot::Curve {
                title: "Processor, % of a core, by operations a second",
                points: loads.iter().map(|load| (load.rate as f64, load.cpu * 100.0)).collect(),
            },
        ];
        fs::write(repository.root().join(PICTURE), plot::draw(&curves))
            .with_context(|| format!("cannot write {PICTURE}"))?;
    }
    Ok(())
}

fn load(rate: u64, agent: &Path, workload: &Path) -> Result<Load> {
    let look = |running: &Agent| Ok((scale::resident(running)?, Scrape::of(running)?));
    let Played { sent, after, cpu, looked: (resident, scrape) } = play(rate, 0, BUSY, agent, workload, look)?;
    Ok(Load { rate, told: received(&after), lost: after.lost(), cpu: cpu / sent.seconds, resident, scrape })
}

fn tables(crowds: &[(usize, Figures)], loads: &[Load]) -> String {
    let mut growing = Table::new(&[
        "containers",
        "ready, s",
        "all judged, s",
        "resident, MiB",
        "idle, % of a core",
        "scrape, ms",
        "scrape, KiB",
        "series",
    ]);
    for (containers, Figures { ready, judged, resident, idle, scrape }) in crowds {
        let [took, bytes, series] = cells(scrape);
        growing.row(&[
            &containers.to_string(),
            &format!("{:.2}", ready.as_secs_f64()),
            &format!("{:.1}", judged.as_secs_f64()),
            &format!("{resident:.1}"),
            &format!("{:.2}", idle * 100.0),
            &took,
            &bytes,
            &series,
        ]);
    }
    let mut busy = Table::new(&[
        "operations a second",
        "told",
        "lost",
        "processor, % of a core",
        "resident, MiB",
        "scrape, ms",
        "scrape, KiB",
        "series",
    ]);
    for Load { rate, told, lost, cpu, resident, scrape } in loads {
        let [took, bytes, series] = cells(scrape);
        busy.row(&[
            &rate.to_string(),
            &told.to_string(),
            &lost.to_string(),
            &format!("{:.2}", cpu * 100.0),
            &format!("{resident:.1}"),
            &took,
            &bytes,
            &series,
        ]);
    }
    format!("{}\n{}", growing.text(), busy.text())
}

fn cells(Scrape { took, bytes, series }: &Scrape) -> [String; 3] {
    let took = format!("{:.1}", took.as_secs_f64() * 1e3);
    [took, format!("{:.0}", *bytes as f64 / 1024.0), series.to_string()]
}
