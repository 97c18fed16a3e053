//! What is known beyond the event: who the process is, what the state file holds afterwards.

mod annotations;
mod arguments;
mod cache;
mod content;
mod document;
mod extract;
mod identity;
mod inspect;
mod owner;
mod pod;
mod process;
mod reading;

pub use crate::model::{Content, Damage};
pub use cache::Processes;
pub use content::judge;
pub use identity::{Identity, identity};
pub use inspect::{Complaint, Inspection, inspect};
pub use owner::{Owner, owner};
pub use pod::{Pod, pod_of_cgroup};
pub use process::{Ancestor, Attribution, Process, capture, cgroup_of};
pub use reading::{Reading, read_state_file};
