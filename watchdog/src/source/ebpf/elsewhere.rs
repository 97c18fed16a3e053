//! Directories that stand for a container's, because a symbolic link or a mount leads there: to the probes each is a root of
//! its own, under a number that the translator turns back.

use std::collections::HashMap;

use crate::model::{Place, RootId};

/// Numbers from here on stand for such directories; no table of roots is as long.
const FIRST: u16 = 0x8000;
/// At most so many are watched, half of what the probes have room for.
const MAX: usize = 512;

/// The directories that are watched.
#[derive(Debug, Default)]
pub(super) struct Directories {
    by_number: HashMap<u16, (RootId, Vec<u8>)>,
    next: u16,
}

/// There is no room for another directory.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX} container directories are symbolic links or mount points")]
pub(super) struct TooMany;

impl Directories {
    /// A number for the container's directory, and whether it is new.
    pub(super) fn add(&mut self, place: &Place) -> Result<(u16, bool), TooMany> {
        let is_its = |(root, container): &(RootId, Vec<u8>)| {
            *root == place.root && container == place.container.as_bytes()
        };
        if let Some((&number, _)) = self.by_number.iter().find(|(_, known)| is_its(known)) {
            return Ok((number, false));
        }
        if self.by_number.len() >= MAX {
            return Err(TooMany);
        }
        let mut number = FIRST | self.next;
        while self.by_number.contains_key(&number) {
            number = FIRST | (number.wrapping_add(1) % 0x7000);
        }
        self.next = (number.wrapping_add(1) & !FIRST) % 0x7000;
        self.by_number.insert(number, (place.root, place.container.as_bytes().to_vec()));
        Ok((number, true))
    }

    /// The numbers of the container's directory, or of all of a root's, which stand for nothing any more.
    pub(super) fn remove(&mut self, root: RootId, container: Option<&str>) -> Vec<u16> {
        let is_its = |known: &(RootId, Vec<u8>)| {
            known.0 == root && container.is_none_or(|container| known.1 == container.as_bytes())
        };
        self.by_number.extract_if(|_, known| is_its(known)).map(|(number, _)| number).collect()
    }

    /// The root and the path below it that a number and a path below that stand for.
    pub(super) fn located(&self, number: u16, below: Vec<u8>) -> (u16, Vec<u8>) {
        match self.by_number.get(&number) {
            None => (number, below),
            Some((root, container)) if below.is_empty() => (root.0, container.clone()),
            Some((root, container)) => (root.0, [container.as_slice(), &below].join(&b'/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    fn place(root: u16, container: &str) -> Place {
        Place { root: RootId(root), container: container.into(), name: "n".into(), role: Role::State }
    }

    #[test]
    fn a_number_leads_back_to_the_container() {
        let mut directories = Directories::default();
        let (number, is_new) = directories.add(&place(3, "a")).unwrap();
        assert!(is_new && number >= FIRST);
        assert_eq!(directories.add(&place(3, "a")).unwrap(), (number, false));
        assert_eq!(directories.located(number, Vec::new()), (3, b"a".to_vec()));
        assert_eq!(directories.located(number, b"b".to_vec()), (3, b"a/b".to_vec()));
        assert_eq!(directories.located(7, b"b".to_vec()), (7, b"b".to_vec()));
        assert!(directories.remove(RootId(3), Some("b")).is_empty());
        assert_eq!(directories.remove(RootId(3), None), [number]);
        assert_eq!(directories.located(number, Vec::new()), (number, Vec::new()));
    }

    #[test]
    fn their_number_is_bounded_and_none_is_given_twice() {
        let mut directories = Directories::default();
        let add = |directories: &mut Directories, i: usize| directories.add(&place(0, &i.to_string()));
        let numbers: std::collections::HashSet<u16> =
            (0..MAX).map(|i| add(&mut directories, i).unwrap().0).collect();
        assert_eq!(numbers.len(), MAX);
        assert!(!numbers.contains(&watchdog_common::CANARY_ROOT));
        assert!(add(&mut directories, MAX).is_err());
        directories.remove(RootId(0), Some("5"));
        assert!(add(&mut directories, MAX).unwrap().1);
    }
}
