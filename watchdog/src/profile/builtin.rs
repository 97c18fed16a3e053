//! The runtimes that we know.

use super::{Profile, state, temporary};
use crate::source::{NamePattern, Shape};

/// The built-in profiles, in label order.
#[must_use]
pub fn builtin() -> Vec<Profile> {
    // runc writes `state-<digits>` and renames it; before 1.0.0-rc91 it truncated `state.json` in place.
    let runc = || vec![state("state.json"), temporary(Shape::Prefix, "state-")];
    // These rewrite `state.json` where it lies. A fixed version would use one of the usual temporary names.
    let plain = || Profile::unknown("").names;
    vec![
        profile("runc", "/run/runc", runc()),
        profile("containerd", "/run/containerd/runc/*", runc()),
        profile("docker", "/run/docker/runtime-runc/*", runc()),
        // CRI-O's own `state.json`, another schema than runc's, in its container directory.
        Profile {
            depth: 2,
            ..profile(
                "crio",
                "/run/containers/storage/overlay-containers",
                vec![state("state.json"), temporary(Shape::Prefix, ".tmp-state.json")],
            )
        },
        profile("crun", "/run/crun", vec![state("status"), temporary(Shape::Exact, "status.tmp")]),
        profile("youki", "/run/youki", plain()),
        profile("urunc", "/run/urunc", plain()),
        profile("kata", "/run/kata", plain()),
    ]
}

fn profile(name: &str, root: &str, names: Vec<NamePattern>) -> Profile {
    Profile { name: name.into(), roots: vec![root.to_owned()], depth: 1, container_level: 0, names }
}
