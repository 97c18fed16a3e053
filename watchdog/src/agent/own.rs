//! Our own reads of state files, and those of other state-watchdogs, which must not look like somebody's.
//!
//! A second agent (in a rollout with surge), `scan` and `trace` read the same files to judge them, and nothing fails when
//! they read a torn one. The kernel says which thread made an open, and all of ours that read state files have one name.

use std::collections::HashSet;
use std::fs;

use crate::host_root::HostRoot;
use crate::model::{EventOperation, FileEvent, OpenId, Pid, Target};
use crate::prepare::is_watchdog;

/// Knows which events are ours.
#[derive(Debug)]
pub(super) struct Own {
    pid: Pid,
    opens: HashSet<OpenId>,
}

impl Own {
    /// Looks up our pid as the host numbers it: in the host's /proc, not in that of our pid namespace.
    pub(super) fn find(host: &HostRoot) -> Self {
        let link = fs::read_link(host.path("/proc/self")).ok();
        let pid = link.and_then(|path| path.to_str()?.parse().ok());
        // Without the host's /proc there is one pid namespace as far as we can tell.
        Self { pid: Pid(pid.unwrap_or_else(std::process::id)), opens: HashSet::new() }
    }

    /// True for an event that we caused, or that another state-watchdog caused by reading.
    pub(super) fn is_ours(&mut self, event: &FileEvent) -> bool {
        match &event.operation {
            EventOperation::Open { id, access, truncated, .. } => {
                let reads_only = access.read && !access.write && !truncated;
                let ours = self.pid == event.actor.pid || (reads_only && is_watchdog(&event.actor.comm.0));
                if ours {
                    self.opens.insert(*id);
                } else {
                    // The address is reused; the id is not, but a clock that stands still costs nothing here.
                    self.opens.remove(id);
                }
                ours
            }
            EventOperation::Release { id } => self.opens.remove(id),
            EventOperation::Read { id, .. }
            | EventOperation::Write { id, .. }
            | EventOperation::WriteFailed { id }
            | EventOperation::Map { id, .. }
            | EventOperation::Sync { id }
            | EventOperation::Lock { id, .. }
            | EventOperation::Truncate { target: Target::Open(id) | Target::Opening(id), .. } => {
                self.opens.contains(id)
            }
            EventOperation::Truncate { target: Target::Place(_), .. }
            | EventOperation::Rename { .. }
            | EventOperation::Link { .. }
            | EventOperation::Unlink { .. }
            | EventOperation::Exit { .. }
            | EventOperation::Present { .. }
            | EventOperation::Content { .. }
            | EventOperation::MoveDirectory { .. }
            | EventOperation::Heartbeat => false,
        }
    }
}
