//! How the agent grows: with the containers that stand there, and with what happens to their state files.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    page::{self, Part},
    plot,
    throughput::{Played, lost, play, received},
};
use crate::{
    agent::Agent,
    repository::Repository,
    scale::{self, Figures, Scrape},
};

/// Where the curves are drawn.
const PICTURE: &str = "docs/images/growth.svg";
const LINK: &str = "![Memory by containers, processor by operations](images/growth.svg)";

/// How many containers stand there. The agent looks at 16,384 entries of a directory and knows as many state files at most.
const CONTAINERS: [usize; 6] = [10, 100, 1_000, 5_000, 10_000, 16_000];
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
    Ok(Load { rate, told: received(&after), lost: lost(&after), cpu: cpu / sent.seconds, resident, scrape })
}

fn tables(crowds: &[(usize, Figures)], loads: &[Load]) -> String {
    let mut text = String::from(
        "| containers | ready, s | all judged, s | resident, MiB | idle, % of a core | scrape, ms | scrape, KiB | series |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (containers, Figures { ready, judged, resident, idle, scrape }) in crowds {
        let (ready, judged, idle) = (ready.as_secs_f64(), judged.as_secs_f64(), idle * 100.0);
        let _ = writeln!(
            text,
            "| {containers} | {ready:.2} | {judged:.1} | {resident:.1} | {idle:.2} | {} |",
            cells(scrape)
        );
    }
    text.push_str(
        "\n| operations a second | told | lost | processor, % of a core | resident, MiB | scrape, ms | scrape, KiB | series |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for Load { rate, told, lost, cpu, resident, scrape } in loads {
        let cpu = cpu * 100.0;
        let _ = writeln!(text, "| {rate} | {told} | {lost} | {cpu:.2} | {resident:.1} | {} |", cells(scrape));
    }
    text
}

fn cells(Scrape { took, bytes, series }: &Scrape) -> String {
    format!("{:.1} | {:.0} | {series}", took.as_secs_f64() * 1e3, *bytes as f64 / 1024.0)
}
