//! What standard output is: a terminal with colours, something that is read, or nothing any more.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Says something on standard error. Where that is full or closed there is nobody to tell, and no reason to panic.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// True when it is a terminal and nobody asked for no colours (`NO_COLOR`, no-color.org).
#[must_use]
pub fn has_colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

/// Waits until nobody can read standard output any more. Without this, whoever writes seldom would learn it late.
pub async fn closed() {
    while !is_closed() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn is_closed() -> bool {
    let stdout = io::stdout();
    let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A pipe without a reader is in error, a terminal that hung up has hung up; a file is neither.
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    poll(&mut ends, Some(&now)).is_ok_and(|ready| ready > 0) && ends[0].revents().intersects(gone)
}
