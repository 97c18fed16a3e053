//! Dashboards held against Grafana's own schemas, and drawn with its own components in a browser.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::{
    super::rendered,
    stage::{NODE, Stage},
};
use crate::{
    tally::Tally,
    tools::{self, Browser, Cache, View},
};

/// The oldest Node.js with which the bundler works.
const NODE_JS: (u32, u32) = (20, 19);
/// High enough for the highest: tables draw no rows that are out of sight.
const VIEW: View = View { width: 1600, height: 2000, dark: false };

/// The npm project of `dashboards/check`, installed.
pub(super) struct Drawing {
    project: PathBuf,
}

/// What became of a panel.
#[derive(Debug, Deserialize)]
struct Outcome {
    title: String,
    kind: String,
    error: Option<String>,
    series: u32,
}

/// Both checks; without a Node.js that is new enough they are skipped.
pub(super) fn check(stage: &Stage, cache: &Cache, tally: &mut Tally) {
    if let Some(obstacle) = obstacle() {
        tally.skip("dashboards in Grafana's own components", &obstacle);
        return;
    }
    let mut drawing = None;
    tally.check("Grafana's schemas and components are there", || {
        drawing = Some(Drawing::prepare(cache)?);
        Ok(String::new())
    });
    let Some(drawing) = drawing else { return };
    tally.check("the dashboards fit Grafana's schemas", || drawing.fits());
    tally.check("Grafana's components draw every panel", || {
        // The last multiple of a step of ten seconds must have two samples before it.
        let samples = "max(count_over_time(state_watchdog_torn_reader_exits_total[5m]))";
        stage.prometheus.wait_for(samples, |samples| samples >= 13.0)?;
        let pictures =
            drawing.draw(stage, cache, &cache.folder().join("pictures"), Duration::from_secs(60))?;
        Ok(pictures.join(", "))
    });
}

/// Makes the pictures in `folder` a third of their size: few colours are enough for lines and letters.
pub(super) fn shrink(cache: &Cache, folder: &Path) -> Result<()> {
    if !tools::has_program("pngquant") {
        tools::installed(cache, &["pngquant"])?;
    }
    let mut pngquant = Command::new("pngquant");
    pngquant.args(["--force", "--strip", "--ext=.png", "128"]);
    pngquant.args(boards().map(|(name, _)| folder.join(name).with_extension("png")));
    cache.run("shrink the pictures", &mut pngquant)
}

fn obstacle() -> Option<String> {
    let output = Command::new("node").arg("--version").output();
    let version =
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let mut numbers =
        version.trim_start_matches('v').split('.').map_while(|number| number.parse::<u32>().ok());
    let found = numbers.next().zip(numbers.next());
    let wanted = format!("Node.js {}.{} or later", NODE_JS.0, NODE_JS.1);
    match found {
        Some(found) if found >= NODE_JS => None,
        Some(_) => Some(format!("needs {wanted}; node is {version}")),
        None => Some(format!("needs {wanted}; there is no node")),
    }
}

impl Drawing {
    /// Copies the project into the cache, and installs and builds it when it has changed.
    pub(super) fn prepare(cache: &Cache) -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards/check");
        let project = cache.folder().join("dashboards-check");
        fs::create_dir_all(project.join("src"))?;
        let installed = copy(&source, &project, &["package.json", "package-lock.json", ".npmrc"])?;
        if installed || !project.join("installed").is_file() {
            let _ = fs::remove_file(project.join("installed"));
            let mut npm = Command::new("npm");
            cache.run(
                "install Grafana's components",
                npm.args(["ci", "--ignore-scripts"]).current_dir(&project),
            )?;
            fs::write(project.join("installed"), "")?;
        }
        let files = ["index.html", "vite.config.mjs", "schema.mjs", "tsconfig.json"];
        let sources = ["src/main.tsx", "src/prometheus.ts", "src/schema.ts"];
        let changed = copy(&source, &project, &files)? | copy(&source, &project, &sources)?;
        if installed || changed || !project.join("dist/index.html").is_file() {
            let _ = fs::remove_dir_all(project.join("dist"));
            let mut npm = Command::new("npm");
            cache.run(
                "build the page that draws dashboards",
                npm.args(["run", "build"]).current_dir(&project),
            )?;
        }
        // A Grafana server has its pictures below `build`, its packages do not.
        let build = project.join("dist/build");
        if !build.exists() {
            symlink(".", &build).with_context(|| format!("cannot make {}", build.display()))?;
        }
        Ok(Self { project })
    }

    fn fits(&self) -> Result<String> {
        let mut node = Command::new("node");
        node.arg("schema.mjs").current_dir(&self.project);
        let folder = self.project.join("rendered");
        fs::create_dir_all(&folder)?;
        for (name, content) in boards() {
            let file = folder.join(name);
            fs::write(&file, content)?;
            node.arg(file);
        }
        let output = node.output().context("cannot start node")?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(said)
    }

    /// Draws all dashboards of the last `range` and leaves the pictures in `folder`; gives what was drawn.
    pub(super) fn draw(
        &self,
        stage: &Stage,
        cache: &Cache,
        folder: &Path,
        range: Duration,
    ) -> Result<Vec<String>> {
        fs::create_dir_all(folder)?;
        stage.listener.serve_files(&self.project.join("dist"));
        let mut browser = Browser::start(cache)?;
        let mut pictures = Vec::new();
        for (name, content) in boards() {
            stage.listener.serve(&format!("/{name}"), content);
            let instance = if name == "node.json" { NODE } else { ".%2B" };
            let url = format!(
                "http://{}/index.html?dashboard={name}&prometheus=http://{}&seconds={}&minute=10&instance={instance}",
                stage.listener.address(),
                stage.prometheus.address(),
                range.as_secs()
            );
            browser.open(&url, VIEW)?;
            browser.until("window.drawn !== undefined")?;
            let height = browser.evaluate("document.getElementById('root').scrollHeight")?;
            let height = height.as_u64().and_then(|height| height.try_into().ok()).unwrap_or(VIEW.height);
            browser.look(View { height, ..VIEW })?;
            // A picture of what is wrong helps whoever reads the complaint.
            browser.screenshot(&folder.join(name).with_extension("png"))?;
            let panels = judge(&mut browser).with_context(|| name.to_owned())?;
            pictures.push(format!("{name}: {panels} panels"));
        }
        Ok(pictures)
    }
}

/// The dashboards' files by their plain names.
fn boards() -> impl Iterator<Item = (&'static str, String)> {
    rendered().into_iter().filter_map(|file| Some((file.path.strip_prefix("grafana/")?, file.content)))
}

/// Copies what differs; true when anything did.
fn copy(from: &Path, to: &Path, names: &[&str]) -> Result<bool> {
    let mut changed = false;
    for name in names {
        let content =
            fs::read(from.join(name)).with_context(|| format!("cannot read {name} of {}", from.display()))?;
        if fs::read(to.join(name)).ok().as_ref() != Some(&content) {
            fs::write(to.join(name), &content)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// How many panels were drawn; an error when one was not, is empty, or does not fit its place.
fn judge(browser: &mut Browser) -> Result<usize> {
    let outcomes: Vec<Outcome> = serde_json::from_value(browser.evaluate("window.drawn")?)?;
    for Outcome { title, kind, error, series } in &outcomes {
        if let Some(error) = error {
            bail!("{title} ({kind}): {error}");
        }
        ensure!(*series > 0, "{title} ({kind}) is empty");
    }
    let text = browser.evaluate("document.body.innerText")?;
    let text = text.as_str().context("the page has no text")?;
    for bad in ["No data", "NaN", "undefined"] {
        ensure!(!text.contains(bad), "the page says {bad:?}");
    }
    let clipped = browser.evaluate(
        "[...document.querySelectorAll('h2, h4, [data-testid=\"header-container\"] *')]\
         .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0).map(e => e.innerText)",
    )?;
    ensure!(clipped == serde_json::json!([]), "clipped: {clipped}");
    let mut complaints = browser.complaints()?;
    // Its fonts come with Grafana's server; another one takes their place.
    complaints.retain(|complaint| !complaint.contains("/fonts/inter/"));
    ensure!(complaints.is_empty(), "the browser complains: {complaints:?}");
    Ok(outcomes.len())
}
