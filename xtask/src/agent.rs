//! A running agent: started, waited for, listened to, stopped.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{deadline::until, finding::Finding, metrics::Metrics};

const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(60);
/// A page comes within this, however busy the machine is.
const ANSWER: Duration = Duration::from_secs(60);
const LOG_LINES: usize = 20;

/// Called with each line of findings as it comes.
pub(crate) type Listener = Box<dyn FnMut(&Finding) + Send>;

/// An agent process. Dropping it kills it; [`Agent::stop`] ends it well.
pub(crate) struct Agent {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
    http: ureq::Agent,
}

/// What came over the agent's standard output.
#[derive(Debug, Default)]
struct Heard {
    findings: Vec<Finding>,
    malformed: Vec<String>,
}

impl Agent {
    /// Starts `program` on `roots`, with its log in `log`, and waits until it is ready.
    pub(crate) fn start(
        program: &Path,
        roots: &[(&str, &Path)],
        log: &Path,
        listener: Option<Listener>,
    ) -> Result<Self> {
        Self::start_with(program, &[], roots, log, listener)
    }

    /// The same with further options of `run`.
    pub(crate) fn start_with(
        program: &Path,
        options: &[&str],
        roots: &[(&str, &Path)],
        log: &Path,
        listener: Option<Listener>,
    ) -> Result<Self> {
        Self::start_by(Command::new(program), options, roots, log, listener)
    }

    /// The same by a command that becomes the agent.
    pub(crate) fn start_by(
        mut command: Command,
        options: &[&str],
        roots: &[(&str, &Path)],
        log: &Path,
        listener: Option<Listener>,
    ) -> Result<Self> {
        let address = free_address()?;
        command.args(Self::arguments(options, roots, address));
        Self::launch(command, address, log, listener)
    }

    /// The words behind the program's name.
    pub(crate) fn arguments(options: &[&str], roots: &[(&str, &Path)], address: SocketAddr) -> Vec<OsString> {
        let address = address.to_string();
        let words = ["run", "--findings", "json", "--listen", &address];
        let mut arguments: Vec<OsString> = words.iter().chain(options).map(OsString::from).collect();
        for (runtime, root) in roots {
            arguments.push("--root".into());
            arguments.push(format!("{runtime}={}", root.display()).into());
        }
        arguments
    }

    /// Starts an agent by whatever command comes to one, in a container for example, and waits until it is ready.
    pub(crate) fn launch(
        mut command: Command,
        address: SocketAddr,
        log: &Path,
        listener: Option<Listener>,
    ) -> Result<Self> {
        command.stdout(Stdio::piped());
        Self::attend(command, address, log, listener)
    }

    /// The same with the command's own standard output: its findings are listened to when that is a pipe.
    pub(crate) fn attend(
        mut command: Command,
        address: SocketAddr,
        log: &Path,
        listener: Option<Listener>,
    ) -> Result<Self> {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stderr(File::create(log).with_context(|| format!("cannot write {}", log.display()))?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let reader = child.stdout.take().map(|output| {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || listen(output, &heard, listener))
        });
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut agent = Self { child, address, log: log.to_owned(), heard, reader, http };
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no such process id")
    }

    /// What it logged so far.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it found so far.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        lock(&self.heard).findings.clone()
    }

    /// What it found since this was last asked.
    pub(crate) fn take_findings(&self) -> Vec<Finding> {
        std::mem::take(&mut lock(&self.heard).findings)
    }

    /// Waits until it ends by itself or by a signal, and gives what it found; a line that it was cut off in is left out.
    pub(crate) fn wait(mut self) -> Result<(ExitStatus, Vec<Finding>)> {
        let status = until(STOP, || Ok(self.child.try_wait()?))?.context("the agent did not end")?;
        self.join()?;
        Ok((status, std::mem::take(&mut lock(&self.heard).findings)))
    }

    fn join(&mut self) -> Result<()> {
        let Some(reader) = self.reader.take() else { return Ok(()) };
        until(STOP, || Ok(reader.is_finished().then_some(())))?
            .context("the agent has ended, and its standard output stays open")?;
        reader.join().ok().context("reading the findings failed")
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The body of a page that answers with 200.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.address);
        let mut response = self.http.get(&url).call().with_context(|| format!("no answer from {url}"))?;
        let body = response.body_mut().read_to_string()?;
        ensure!(response.status() == 200, "{url} answers {}: {body}", response.status());
        Ok(body)
    }

    /// A scrape.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.get("/metrics")?))
    }

    /// Scrapes until `reached`; the last scrape either way, because the caller compares and reports it.
    pub(crate) fn settled(&self, mut reached: impl FnMut(&Metrics) -> bool) -> Result<Metrics> {
        let mut last = self.metrics();
        until(SETTLE, || {
            // On a busy machine a scrape may come to nothing; the next one may not.
            last = self.metrics();
            Ok(last.as_ref().is_ok_and(&mut reached).then_some(()))
        })?;
        last
    }

    /// How many findings have come so far for which `matches` holds.
    pub(crate) fn count(&self, matches: impl Fn(&Finding) -> bool) -> usize {
        lock(&self.heard).findings.iter().filter(|finding| matches(finding)).count()
    }

    /// Asks it to stop, waits for it, and gives all findings; the last ones are flushed on the way out.
    pub(crate) fn stop(mut self) -> Result<Vec<Finding>> {
        kill_process(self.pid()?, Signal::TERM).context("cannot ask the agent to stop")?;
        let status = until(STOP, || Ok(self.child.try_wait()?))?;
        let status = status.with_context(|| format!("the agent did not stop within {} s", STOP.as_secs()))?;
        ensure!(status.success(), "the agent ended with {status}; its log ends:\n{}", self.log_end());
        self.join()?;
        let heard = std::mem::take(&mut *lock(&self.heard));
        if let Some(line) = heard.malformed.first() {
            bail!("{} lines are no findings, the first: {line}", heard.malformed.len());
        }
        Ok(heard.findings)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ended: Option<ExitStatus> = until(READY, || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(Some(status)));
            }
            Ok(self.get("/readyz").is_ok().then_some(None))
        })?
        .with_context(|| {
            format!("the agent was not ready within {} s; its log ends:\n{}", READY.as_secs(), self.log_end())
        })?;
        match ended {
            Some(status) => bail!("the agent ended with {status}; its log ends:\n{}", self.log_end()),
            None => Ok(()),
        }
    }

    fn log_end(&self) -> String {
        let text = self.logged();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // After a good stop both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(output: ChildStdout, heard: &Mutex<Heard>, mut listener: Option<Listener>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        match Finding::parse(&line) {
            Ok(finding) => {
                if let Some(listener) = &mut listener {
                    listener(&finding);
                }
                lock(heard).findings.push(finding);
            }
            Err(error) => lock(heard).malformed.push(format!("{error}: {line}")),
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?)
}
