//! Whether we are root, and how to become it.

/// True when this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
