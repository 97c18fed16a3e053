//! Whether we are root, and how to become it.

use std::{
    env,
    process::{Command, ExitStatus},
};

use anyhow::{Context as _, Result};

use crate::tools::{Cache, has_program};

/// True when this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Why nothing can be run as root; `None` when it can.
pub(crate) fn obstacle() -> Option<&'static str> {
    (!is_root() && !has_program("sudo")).then_some("needs root, and there is no sudo")
}

/// Runs this program once more, as root, with other arguments and the same cache.
pub(crate) fn again_as_root(cache: &Cache, arguments: &[String]) -> Result<ExitStatus> {
    let program = env::current_exe().context("cannot find this program")?;
    println!("  running as root: {} {}", program.display(), arguments.join(" "));
    Command::new("sudo")
        .arg(format!("STATE_WATCHDOG_CACHE={}", cache.folder().display()))
        .args(env::var("CI").ok().map(|value| format!("CI={value}")))
        .arg(program)
        .args(arguments)
        .status()
        .context("cannot start sudo")
}
