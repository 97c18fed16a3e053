//! What is known beyond the event: who the process is, what the state file holds afterwards.

mod annotations;
mod arguments;
mod cache;
mod content;
mod identity;
mod inspect;
mod owner;
mod pod;
mod process;

pub use crate::model::{Content, Damage};
pub use cache::Processes;
pub use content::{Reading, SMALL_FILE, judge, read_state_file};
pub use identity::{Identity, identity};
pub use inspect::{Complaint, Inspection, inspect};
pub use owner::{Owner, owner};
pub use pod::{Pod, pod_of_cgroup};
pub use process::{Ancestor, Attribution, Process, capture, cgroup_of};
