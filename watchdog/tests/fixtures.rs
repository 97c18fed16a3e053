//! Trees that real runtimes and managers wrote, read as the agent reads a node; `cargo xtask fixtures` makes them anew.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs;
use std::path::{Path, PathBuf};

use watchdog::enrich::{Content, Damage, Identity, Owner, Pod, judge, owner, read_state_file};
use watchdog::files::Ungated;
use watchdog::host_root::HostRoot;

/// A tree, the folder of a runtime root in it, and the name of the state file.
struct Tree {
    name: &'static str,
    root: &'static str,
    file: &'static str,
    /// What is annotated tells the image.
    image: bool,
    /// Where the state file says nothing, something else in the tree does.
    kept_elsewhere: bool,
}

const TREES: [Tree; 6] = [
    Tree { name: "runc", root: "/run/runc", file: "state.json", image: true, kept_elsewhere: false },
    Tree { name: "youki", root: "/run/youki", file: "state.json", image: true, kept_elsewhere: false },
    Tree { name: "crun", root: "/run/crun", file: "status", image: true, kept_elsewhere: true },
    Tree { name: "crio", root: "/run/crun", file: "status", image: true, kept_elsewhere: true },
    Tree {
        name: "containerd",
        root: "/run/containerd/runc/k8s.io",
        file: "state.json",
        image: true,
        kept_elsewhere: true,
    },
    Tree {
        name: "docker",
        root: "/run/docker/runtime-runc/moby",
        file: "state.json",
        image: true,
        kept_elsewhere: true,
    },
];

impl Tree {
    fn host(&self) -> HostRoot {
        HostRoot::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(self.name))
    }

    /// The directories of its containers, as the host names them, with their ids.
    fn containers(&self) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(self.host().path(self.root)).unwrap();
        let ids = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        ids.map(|id| (Path::new(self.root).join(&id), id)).collect()
    }

    fn state_files(&self) -> Vec<PathBuf> {
        let path = |directory: &PathBuf| self.host().path(directory.join(self.file));
        self.containers().iter().map(|(directory, _)| path(directory)).collect()
    }
}

fn web(container: Option<&str>) -> Pod {
    let text = |text: &str| Some(text.to_owned());
    Pod {
        name: text("web-0"),
        namespace: text("shop"),
        container: container.and_then(text),
        uid: text("0b2e1c1a-3d2f-4e5a-9b1c-000000000001"),
    }
}

/// The pod's container, and its sandbox where the tree has one.
fn is_as_made(tree: &Tree, found: &[Owner]) {
    let app = found.iter().find(|owner| owner.pod.container.is_some()).unwrap();
    assert_eq!(app.pod, web(Some("app")), "{}", tree.name);
    assert_eq!(app.image.as_deref(), tree.image.then_some("localhost/watched:1"), "{}", tree.name);
    let others = found.iter().filter(|owner| owner.pod.container.is_none());
    assert!(others.clone().all(|owner| owner.pod == web(None)), "{}: {found:?}", tree.name);
    assert_eq!(others.count(), usize::from(tree.name == "containerd"), "{}", tree.name);
}

#[test]
fn each_container_is_known_by_its_state_file_and_what_that_names() {
    for tree in TREES {
        let look = |(directory, id): &(PathBuf, String)| {
            let reading =
                read_state_file(&tree.host().path(directory), Path::new(tree.file), &Ungated).unwrap();
            assert_eq!(reading.content, Content::Valid);
            owner(&tree.host(), directory, id, &reading.identity, &Ungated)
        };
        is_as_made(&tree, &tree.containers().iter().map(look).collect::<Vec<_>>());
    }
}

#[test]
fn a_container_whose_state_was_never_whole_is_known_by_what_its_manager_keeps() {
    for tree in TREES {
        let look = |(directory, id): &(PathBuf, String)| {
            owner(&tree.host(), directory, id, &Identity::default(), &Ungated)
        };
        let found: Vec<Owner> = tree.containers().iter().map(look).collect();
        if tree.kept_elsewhere {
            is_as_made(&tree, &found);
        } else {
            assert!(found.iter().all(|owner| *owner == Owner::default()), "{}", tree.name);
        }
    }
}

#[test]
fn nothing_is_looked_for_outside_the_host_root() {
    let empty = tempfile::tempdir().unwrap();
    for tree in TREES {
        for (directory, id) in tree.containers() {
            let said = read_state_file(&tree.host().path(&directory), Path::new(tree.file), &Ungated)
                .unwrap()
                .identity;
            let told = Owner::told(&said, &id);
            assert_eq!(
                owner(&HostRoot::new(empty.path()), &directory, &id, &said, &Ungated),
                told,
                "{}",
                tree.name
            );
        }
    }
}

#[test]
fn a_real_state_file_that_is_cut_anywhere_is_truncated() {
    // docker's is runc's, with a filter of system calls that makes it as long as all others together.
    for path in TREES.iter().filter(|tree| tree.name != "docker").flat_map(Tree::state_files) {
        let bytes = fs::read(&path).unwrap();
        let end = bytes.trim_ascii_end().len();
        assert_eq!(judge(&[]), Content::Damaged(Damage::Empty));
        for length in 1..end {
            let found = judge(&bytes[..length]);
            assert_eq!(found, Content::Damaged(Damage::Truncated), "{} cut at {length}", path.display());
        }
        for length in end..=bytes.len() {
            assert_eq!(judge(&bytes[..length]), Content::Valid, "{} cut at {length}", path.display());
        }
    }
}

#[test]
fn a_real_state_file_over_which_another_was_written_is_damaged() {
    for path in TREES.iter().flat_map(Tree::state_files) {
        let bytes = fs::read(&path).unwrap();
        let mixed = [&bytes[..], &bytes[bytes.len() / 2..]].concat();
        assert_eq!(judge(&mixed), Content::Damaged(Damage::Invalid), "{}", path.display());
    }
}
