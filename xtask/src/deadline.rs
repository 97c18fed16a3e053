//! Waiting for a condition, never for a time.

use std::{
    io::Read,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks `condition` until it gives a value; `None` when `limit` passes first.
pub(crate) fn until<T>(
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(Some(value));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

/// Runs a command and gives what it printed; an error that says `what` it was when it does not end within `limit`.
pub(crate) fn output(command: &mut Command, what: &str, limit: Duration) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {what}"))?;
    let streams = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = (collect(streams.0), collect(streams.1));
    let status = ended(&mut child, what, limit)?;
    let whole = |stream: thread::JoinHandle<Vec<u8>>| stream.join().ok().context("what it printed is lost");
    Ok(Output { status, stdout: whole(stdout)?, stderr: whole(stderr)? })
}

/// Waits for a process; when it does not end within `limit` it is killed, and the error says `what` it was.
pub(crate) fn ended(child: &mut Child, what: &str, limit: Duration) -> Result<std::process::ExitStatus> {
    if let Some(status) = until(limit, || Ok(child.try_wait()?))? {
        return Ok(status);
    }
    child.kill().with_context(|| format!("cannot kill {what}"))?;
    child.wait()?;
    bail!("{what} did not end within {} s", limit.as_secs())
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came until then is all there is.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_end_is_named_and_killed() {
        let limit = Duration::from_millis(50);
        let error = output(Command::new("sleep").arg("600"), "the sleeper", limit).unwrap_err();
        assert_eq!(error.to_string(), "the sleeper did not end within 0 s");
    }

    #[test]
    fn what_was_printed_is_whole() {
        let script = "head -c 300000 /dev/zero; echo late >&2; exit 3";
        let output = output(Command::new("sh").args(["-c", script]), "a shell", Duration::from_secs(60));
        let output = output.unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len(), &*output.stderr),
            (Some(3), 300_000, &b"late\n"[..])
        );
    }
}
