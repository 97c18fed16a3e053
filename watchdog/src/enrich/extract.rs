//! The few members of a document that say whose a container is, picked out while it is read.
//!
//! Whatever a document holds, no more than [`MAX_KEPT_BYTES`] of it are kept.

use std::collections::HashMap;

use super::annotations::{self, MAX_KEY_BYTES};
use crate::json::{Parser, Sink};

/// At most so many bytes of a path are kept, as the kernel takes no longer one.
const MAX_PATH_BYTES: usize = 4_096;
/// At most so many bytes of an image's name.
const MAX_IMAGE_BYTES: usize = 512;
/// At most so many cgroups, one for each controller there is and some more.
const MAX_CGROUPS: usize = 16;
/// At most so many bytes in all.
const MAX_KEPT_BYTES: usize = 128 << 10;

/// What was picked out.
#[derive(Debug, Default)]
pub(super) struct Extract {
    pub(super) init_process_pid: Option<i64>,
    pub(super) pid: Option<i64>,
    pub(super) bundle: Option<String>,
    /// Those that the agent looks for, from annotations and labels.
    pub(super) annotations: HashMap<String, String>,
    pub(super) cgroups: Vec<String>,
    pub(super) image: Option<String>,
    /// The containers around the place, outermost first. Those that are nested deeper than anything of interest are
    /// counted.
    areas: Vec<Area>,
    deeper: usize,
    key: Text,
    is_in_name: bool,
    value: Text,
    /// Where the string that is being read belongs.
    slot: Option<Slot>,
    kept: usize,
}

/// Which object or array is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Top,
    /// youki, urunc, CRI-O, and `config.json` in a bundle; docker's labels.
    Annotations,
    /// runc; by controller, or one under an empty name.
    CgroupPaths,
    /// `config.json` in a bundle.
    Linux,
    /// runc.
    RuncConfig,
    /// runc keeps annotations as `key=value`, and the bundle among them.
    RuncLabels,
    /// docker's `config.v2.json`.
    Docker,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Bundle,
    Annotation,
    Label,
    Cgroup,
    Image,
}

/// A string of which no more is kept than there is room for.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    room: usize,
    is_cut: bool,
}

impl Text {
    fn begin(&mut self, room: usize) {
        self.bytes.clear();
        (self.room, self.is_cut) = (room, false);
    }

    fn add(&mut self, piece: &[u8]) {
        self.is_cut |= self.bytes.len() + piece.len() > self.room;
        if !self.is_cut {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn whole(&self) -> Option<&str> {
        if self.is_cut { None } else { std::str::from_utf8(&self.bytes).ok() }
    }
}

impl Extract {
    /// Nothing of interest lies deeper.
    const MAX_DEPTH: usize = 4;

    fn area(&self) -> Option<Area> {
        if self.deeper > 0 { Some(Area::Other) } else { self.areas.last().copied() }
    }

    fn enter(&mut self, is_object: bool) {
        if self.areas.len() >= Self::MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        let area = match (self.area(), self.key.whole().unwrap_or_default(), is_object) {
            (None, _, true) => Area::Top,
            (Some(Area::Top), "annotations", true) | (Some(Area::Docker), "Labels", true) => {
                Area::Annotations
            }
            (Some(Area::Top), "cgroup_paths", true) => Area::CgroupPaths,
            (Some(Area::Top), "linux", true) => Area::Linux,
            (Some(Area::Top), "config", true) => Area::RuncConfig,
            (Some(Area::Top), "Config", true) => Area::Docker,
            (Some(Area::RuncConfig), "labels", false) => Area::RuncLabels,
            _ => Area::Other,
        };
        self.areas.push(area);
    }

    /// Where a string that begins here belongs, and how much of it is kept.
    fn slot(&self) -> Option<(Slot, usize)> {
        let key = self.key.whole().unwrap_or_default();
        match (self.area()?, key) {
            (Area::Top | Area::Annotations, "bundle") => Some((Slot::Bundle, MAX_PATH_BYTES)),
            (Area::Top, "cgroup-path") | (Area::Linux, "cgroupsPath") | (Area::CgroupPaths, _) => {
                Some((Slot::Cgroup, MAX_PATH_BYTES))
            }
            (Area::Annotations, key) => annotations::room(key).map(|room| (Slot::Annotation, room)),
            (Area::RuncLabels, _) => Some((Slot::Label, MAX_PATH_BYTES)),
            (Area::Docker, "Image") => Some((Slot::Image, MAX_IMAGE_BYTES)),
            (Area::Top | Area::Linux | Area::RuncConfig | Area::Docker | Area::Other, _) => None,
        }
    }

    fn keep(&mut self, slot: Slot) {
        let Some(value) = self.value.whole() else { return };
        if self.kept + value.len() > MAX_KEPT_BYTES {
            return;
        }
        let key = self.key.whole().unwrap_or_default();
        let text = || value.to_owned();
        match slot {
            // A member's own name comes before an annotation's.
            Slot::Bundle if self.areas.len() > 1 => self.bundle = self.bundle.take().or_else(|| Some(text())),
            Slot::Bundle => self.bundle = Some(text()),
            Slot::Annotation => drop(self.annotations.insert(key.to_owned(), text())),
            Slot::Label => match value.split_once('=') {
                Some(("bundle", path)) => {
                    self.bundle = self.bundle.take().or_else(|| Some(path.to_owned()));
                }
                Some((key, value)) if annotations::room(key).is_some_and(|room| value.len() <= room) => {
                    self.annotations.insert(key.to_owned(), value.to_owned());
                }
                _ => return,
            },
            Slot::Cgroup if self.cgroups.len() < MAX_CGROUPS => self.cgroups.push(text()),
            Slot::Cgroup => return,
            Slot::Image => self.image = Some(text()),
        }
        self.kept += self.value.bytes.len();
    }
}

impl Sink for Extract {
    fn object(&mut self) {
        self.enter(true);
    }

    fn array(&mut self) {
        self.enter(false);
    }

    fn end(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.areas.pop();
        }
    }

    fn name(&mut self, piece: &[u8]) {
        if !std::mem::replace(&mut self.is_in_name, true) {
            self.key.begin(MAX_KEY_BYTES);
        }
        self.key.add(piece);
    }

    fn name_ends(&mut self) {
        // An empty name has no piece.
        if !std::mem::replace(&mut self.is_in_name, false) {
            self.key.begin(MAX_KEY_BYTES);
        }
    }

    fn string(&mut self) {
        let slot = self.slot();
        self.slot = slot.map(|(slot, _)| slot);
        self.value.begin(slot.map_or(0, |(_, room)| room));
    }

    fn text(&mut self, piece: &[u8]) {
        if self.slot.is_some() {
            self.value.add(piece);
        }
    }

    fn string_ends(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.keep(slot);
        }
    }

    fn integer(&mut self, value: i64) {
        if self.area() == Some(Area::Top) {
            match self.key.whole() {
                Some("pid") => self.pid = Some(value),
                Some("init_process_pid") => self.init_process_pid = Some(value),
                _ => {}
            }
        }
    }
}

/// The annotations in a JSON object of strings; none where it is no whole one.
pub(super) fn labels_in(text: &[u8]) -> HashMap<String, String> {
    // As if it stood at a document's `annotations`.
    let mut extract = Extract { areas: vec![Area::Top], ..Extract::default() };
    extract.key.begin(MAX_KEY_BYTES);
    extract.key.add(b"annotations");
    let mut parser = Parser::default();
    let parsed = parser.feed(text, &mut extract).and_then(|()| parser.finish(&mut extract));
    if parsed.is_ok() { extract.annotations } else { HashMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Extract {
        let mut extract = Extract::default();
        let mut parser = Parser::default();
        for byte in text.as_bytes() {
            parser.feed(&[*byte], &mut extract).unwrap();
        }
        parser.finish(&mut extract).unwrap();
        extract
    }

    #[test]
    fn members_of_other_objects_are_not_taken_for_those_of_interest() {
        let extract = of(
            r#"{"x":{"pid":1,"bundle":"/x","annotations":{"io.kubernetes.pod.uid":"x"},"linux":{"a":{}}},
            "pid":7,"y":[{"pid":2},"bundle","/y"],"annotations":{"a":{"io.kubernetes.pod.uid":"y"},"bundle":"/z",
            "io.kubernetes.pod.uid":"u"},"config":{"labels":["io.kubernetes.pod.name=web-0","other=1","bundle=/b"],
            "deep":[[[[[[{"pid":3}]]]]]]},"cgroup_paths":{"":"/c"},"bundle":"/bundle"}"#,
        );
        assert_eq!((extract.pid, extract.init_process_pid), (Some(7), None));
        assert_eq!(extract.bundle.as_deref(), Some("/bundle"));
        assert_eq!(extract.annotations.len(), 2);
        assert_eq!(extract.annotations["io.kubernetes.pod.uid"], "u");
        assert_eq!(extract.annotations["io.kubernetes.pod.name"], "web-0");
        assert_eq!(extract.cgroups, ["/c"]);
    }

    #[test]
    fn what_is_kept_of_a_hostile_document_is_bounded() {
        let long = "x".repeat(200_000);
        let many: String = (0..50_000).map(|i| format!("\"{i}\":\"x\",")).collect();
        let cgroups: String = (0..1_000).map(|i| format!("\"{i}\":\"/{}\",", &long[..4_000])).collect();
        let labels: String = (0..50_000).map(|i| format!("\"io.kubernetes.pod.name=web-{i}\",")).collect();
        let extract = of(&format!(
            r#"{{"annotations":{{{many}"{long}":"{long}","io.kubernetes.pod.name":"{long}",
            "io.kubernetes.cri-o.Labels":"{long}"}},"cgroup_paths":{{{cgroups}"":""}},
            "config":{{"labels":[{labels}"{long}"]}},"bundle":"/{long}"}}"#
        ));
        assert!(extract.kept <= MAX_KEPT_BYTES, "{}", extract.kept);
        assert!(extract.annotations.len() <= 1 && extract.cgroups.len() <= MAX_CGROUPS);
        assert_eq!(extract.bundle, None);
        assert!(extract.value.bytes.capacity() <= MAX_KEPT_BYTES);
    }
}
