//! The page for people, as a browser shows it: a real agent beside a workload, and what a person would see of it.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::json;
use workload::{How, Style};

use crate::{
    agent::Agent,
    check::{Programs, Tally},
    scratch::{Medium, Scratch},
    tools::{Browser, Cache, View},
    truth::Plan,
};

/// A phone held upright, and a laptop; in daylight, and at night.
const VIEWS: [View; 4] = [
    View { width: 400, height: 800, dark: false },
    View { width: 400, height: 800, dark: true },
    View { width: 1280, height: 800, dark: false },
    View { width: 1280, height: 800, dark: true },
];

/// Enough that some reads are torn.
const PLAN: Plan = Plan { how: How::Truncate, style: Style::Go, writes: 200, reads: 1000 };

/// Runs the agent and looks at its page.
pub(crate) fn check(programs: &Programs, cache: &Cache, tally: &mut Tally) {
    tally.check("the page shows what the agent found", || shows_findings(programs, cache));
}

fn shows_findings(programs: &Programs, cache: &Cache) -> Result<String> {
    let mut browser = Browser::start(cache)?;
    let scratch = Scratch::new(Medium::Memory)?;
    let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
    PLAN.prepare(&programs.workload, &root)?;
    let agent = Agent::start(&programs.agent, &[("demo", &root)], &scratch.path().join("agent.log"), None)?;
    PLAN.start(&programs.workload, &root, &counters)?.finish()?;
    let url = format!("http://{}/", agent.address());
    for view in VIEWS {
        browser.open(&url, view)?;
        let overflows = browser.evaluate("document.documentElement.scrollWidth > innerWidth")?;
        ensure!(overflows == json!(false), "at {view:?} the page is wider than the window");
        ensure!(browser.evaluate("document.title")?.as_str().is_some_and(|title| !title.is_empty()));
        let complaints = browser.complaints()?;
        ensure!(complaints.is_empty(), "the browser complains: {complaints:?}");
    }
    let pictures = cache.folder().join("pictures");
    fs::create_dir_all(&pictures)?;
    for view in VIEWS {
        browser.open(&url, view)?;
        let light = if view.dark { "dark" } else { "light" };
        browser.screenshot(&pictures.join(format!("page-{}-{light}.png", view.width)))?;
    }
    ensure!(browser.dom()?.contains("state-watchdog"), "the page does not say what it is of");
    Ok(format!("pictures in {}", pictures.display()))
}
