//! The agent beside real, unmodified runtimes: youki, which writes in place, runc and crun, which do not, and a containerd
//! that says whose a container is.

mod container;
mod containerd;
mod control;
mod cri;
mod crowd;
mod crun;
mod fixtures;
mod pods;
mod runc;
mod youki;

use crate::finding::Pod;

pub(crate) use containerd::{Containerd, IMAGE, Places, remove_cgroups, run};
pub(crate) use crun::check as check_crun;
pub(crate) use fixtures::{Options as FixtureOptions, make as make_fixtures};
pub(crate) use pods::{StateFile, check as check_containerd};
pub(crate) use runc::check as check_runc;
pub(crate) use youki::check as check_youki;

/// The pod that the annotations of every container here name.
fn annotated() -> Pod {
    let text = |text: &str| Some(text.to_owned());
    Pod {
        name: text("web-0"),
        namespace: text("shop"),
        container: text("app"),
        uid: text("0b2e1c1a-3d2f-4e5a-9b1c-000000000001"),
    }
}
