//! A browser without a window: Debian's Chromium, with a profile of its own, driven through its devtools.

mod devtools;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{Cache, debian, programs::find_program};
use crate::{
    deadline::until,
    scratch::{Medium, Scratch},
};
use devtools::Devtools;

/// The browser is up, a page is loaded, a script has answered: each well within this, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(90);

/// Without these it looks for servers of its maker, and for a graphics card.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
];

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Width of the window in CSS pixels.
    pub(crate) width: u32,
    /// Its height; a picture is as high as the page.
    pub(crate) height: u32,
    /// The user prefers dark colours.
    pub(crate) dark: bool,
}

/// A running browser with one page. Dropping it ends it.
pub(crate) struct Browser {
    devtools: Devtools,
    child: Child,
    /// Removed after the child is gone: the fields of a struct are dropped in their order.
    _profile: Scratch,
}

/// Chromium, installed when it is missing.
pub(crate) fn chromium(cache: &Cache) -> Result<PathBuf> {
    debian::installed(cache, &["chromium", "fonts-dejavu-core"])?;
    find_program("chromium").context("the package chromium brought no program chromium")
}

impl Browser {
    /// Starts a browser with an empty profile.
    pub(crate) fn start(cache: &Cache) -> Result<Self> {
        let program = chromium(cache)?;
        let profile = Scratch::new(Medium::Disk)?;
        let log = profile.path().join("browser.log");
        let mut child = Command::new(&program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg("about:blank")
            // What a browser keeps beside its profile goes there, too.
            .env("HOME", profile.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        match connect(&mut child, profile.path()) {
            Ok(devtools) => Ok(Self { devtools, child, _profile: profile }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(&log).unwrap_or_default();
                Err(error.context(format!("{} does not run; it said:\n{said}", program.display())))
            }
        }
    }

    /// Loads an address and waits until the page has all it needs.
    pub(crate) fn open(&mut self, url: &str, view: View) -> Result<()> {
        self.devtools.forget();
        self.look(view)?;
        let answer = self.call("Page.navigate", json!({"url": url}))?;
        if let Some(error) = answer["errorText"].as_str() {
            bail!("{url} cannot be loaded: {error}");
        }
        self.devtools
            .wait_for("Page.loadEventFired", LIMIT)
            .with_context(|| format!("{url} does not finish loading"))
    }

    /// Looks at the loaded page in another way.
    pub(crate) fn look(&mut self, view: View) -> Result<()> {
        let metrics =
            json!({"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        let scheme = if view.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media)?;
        Ok(())
    }

    /// The value of an expression in the page; a promise is waited for.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let ask = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", ask)?;
        ensure!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression in the page is true.
    pub(crate) fn until(&mut self, expression: &str) -> Result<()> {
        until(LIMIT, || Ok((self.evaluate(expression)? == json!(true)).then_some(())))?
            .with_context(|| format!("never true in the page: {expression}"))
    }

    /// The page as it stands now, after all scripts.
    pub(crate) fn dom(&mut self) -> Result<String> {
        let text = self.evaluate("document.documentElement.outerHTML")?;
        Ok(text.as_str().context("the page has no document")?.to_owned())
    }

    /// A picture of the whole page as PNG.
    pub(crate) fn screenshot(&mut self, file: &Path) -> Result<()> {
        self.until("document.fonts.status === 'loaded'")?;
        let ask = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.call("Page.captureScreenshot", ask)?;
        let picture = answer["data"].as_str().context("the browser gave no picture")?;
        let picture = BASE64.decode(picture.as_bytes()).context("the browser's picture is not base64")?;
        fs::write(file, picture).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What the browser complained of since the page was opened: script errors, refused content, failed loads.
    pub(crate) fn complaints(&mut self) -> Result<Vec<String>> {
        // Everything before this answer has come when it is there.
        self.evaluate("0")?;
        let told = self.devtools.events().iter().filter_map(|event| match event.method.as_str() {
            "Runtime.exceptionThrown" => Some(event.params["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if event.params["type"] == "error" => {
                Some(event.params["args"].to_string())
            }
            "Log.entryAdded" if event.params["entry"]["level"] == "error" => {
                Some(event.params["entry"].to_string())
            }
            _ => None,
        });
        Ok(told.collect())
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.devtools.call(method, params, LIMIT)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that closes itself takes its children along; a killed one may leave them for a moment.
        let closed = self.devtools.call("Browser.close", json!({}), Duration::from_secs(10)).is_ok()
            && until(Duration::from_secs(20), || Ok(self.child.try_wait()?))
                .is_ok_and(|ended| ended.is_some());
        if !closed {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn connect(child: &mut Child, home: &Path) -> Result<Devtools> {
    let file = home.join("profile/DevToolsActivePort");
    let place = until(LIMIT, || {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        Ok(text.split_once('\n').map(|(port, path)| (port.to_owned(), path.trim().to_owned())))
    })?;
    let (port, path) = place.context("it does not say where it listens")?;
    let mut devtools = Devtools::connect(port.parse().context("its port is no number")?, &path)?;
    devtools.attach(LIMIT)?;
    for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
        devtools.call(domain, json!({}), LIMIT)?;
    }
    Ok(devtools)
}
