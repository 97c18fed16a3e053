//! The page for people, as a browser shows it: a real agent beside a workload, and what a person would see of it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use workload::{How, Style};

use crate::{
    agent::Agent,
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
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

/// As a file and a process may be called, and no more: 255 bytes, markup, what a terminal obeys.
const HOSTILE: [&str; 3] =
    ["<img src=x onerror=document.title=1>", "\"'><svg onload=alert(1)>", "\u{1b}[2J\u{202e}nosj"];

/// Has a file read that is empty just then: the newest torn read, wherever those of the workload are by now.
fn tear(file: &Path) -> Result<()> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut writer = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let status = Command::new("cat").arg(file).stdout(Stdio::null()).status().context("cannot start cat")?;
    ensure!(status.success(), "cat ended with {status}");
    writer.write_all(&content)?;
    Ok(())
}

fn shows_findings(programs: &Programs, cache: &Cache) -> Result<String> {
    let mut browser = Browser::start(cache)?;
    let scratch = Scratch::new(Medium::Memory)?;
    let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
    PLAN.prepare(&programs.workload, &root)?;
    let writer = scratch.path().join("<i>w&amp;</i".replace('/', "|"));
    fs::copy(&programs.workload, &writer)?;
    let agent = Agent::start(&programs.agent, &[("demo", &root)], &scratch.path().join("agent.log"), None)?;
    PLAN.start(&writer, &root, &counters)?.finish()?;
    tear(&root.join(PLAN.container()).join("state.json"))?;
    let long = "x".repeat(255);
    for name in HOSTILE.into_iter().chain([long.as_str()]) {
        let file = root.join(name).join("state.json");
        fs::create_dir(root.join(name))?;
        fs::write(&file, "{}")?;
        fs::write(&file, "{")?;
    }
    agent.settled(|metrics| metrics.sum("state_watchdog_damaged_state_files", &[]) >= 4.0)?;
    agent.settled(|metrics| metrics.sum("state_watchdog_torn_reader_exits_total", &[]) >= 1.0)?;
    let url = format!("http://{}/?limit=200", agent.address());
    let pictures = cache.folder().join("pictures");
    fs::create_dir_all(&pictures)?;
    for view in VIEWS {
        browser.open(&url, view)?;
        let overflows = browser.evaluate("document.documentElement.scrollWidth - innerWidth")?;
        ensure!(
            overflows.as_i64() <= Some(0),
            "at {view:?} the page is {overflows} pixels wider than the window"
        );
        let complaints = browser.complaints()?;
        ensure!(complaints.is_empty(), "the browser complains: {complaints:?}");
        let light = if view.dark { "dark" } else { "light" };
        browser.screenshot(&pictures.join(format!("page-{}-{light}.png", view.width)))?;
    }
    ensure!(browser.evaluate("document.title")? == json!("state-watchdog"), "a name has changed the title");
    let strange =
        browser.evaluate("document.querySelectorAll('script, img, svg, i, b, iframe, object').length")?;
    ensure!(strange == json!(0), "names became {strange} elements: {}", browser.dom()?);
    let text = browser.evaluate("document.body.textContent")?;
    let text = text.as_str().unwrap_or_default();
    for word in [
        "torn read",
        "nonatomic write",
        "damaged state file",
        HOSTILE[0],
        HOSTILE[1],
        "\\u{1b}[2J\\u{202e}nosj",
        "<i>w&amp;<|i",
    ] {
        ensure!(text.contains(word), "{word:?} is not on the page: {text}");
    }
    let rows = browser.evaluate("document.querySelectorAll('#findings ~ table tbody tr').length")?;
    ensure!(rows.as_i64() > Some(20), "only {rows} findings are shown");
    Ok(format!("{rows} findings; pictures in {}", pictures.display()))
}
