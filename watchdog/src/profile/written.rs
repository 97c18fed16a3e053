//! A profile as a configuration file writes it.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Content, Profile, check_runtime, name_pattern, root_pattern};
use crate::model::Role;
use crate::source::Depths;

/// `[[profile]]`. A key that is not there keeps what the profile of that name has, or the default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// Which runtime.
    pub name: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) watched: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) roots: Option<Spanned<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) depth: Option<Spanned<Levels>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_level: Option<Spanned<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_until: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Spanned<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temporary: Option<Spanned<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lock: Option<Spanned<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Content>,
}

/// Why a profile was refused, and where in the file that stands.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Bytes of the file.
    pub at: Range<usize>,
    message: String,
}

/// In place of a name under `lock`: the state file itself.
const FILE: &str = "@file";
/// The same: the directory right below the root, or the root itself where state files lie in it.
const DIRECTORY: &str = "@directory";

impl Written {
    /// Joins what is written with what the profile of that name was before.
    ///
    /// # Errors
    /// Something makes no sense.
    pub fn over(&self, base: Option<Profile>) -> Result<Profile, Refused> {
        let name = self.name.get_ref();
        let refuse =
            |at: Range<usize>, why: String| Refused { at, message: format!("profile {name:?}: {why}") };
        let here = self.name.span();
        check_runtime(name).map_err(|message| Refused { at: here.clone(), message })?;
        let mut profile = base.unwrap_or_else(|| Profile { names: Vec::new(), ..Profile::unknown(name) });
        profile.watched = self.watched.unwrap_or(profile.watched);
        profile.content = self.content.unwrap_or(profile.content);
        if let Some(roots) = &self.roots {
            let roots_of = roots.get_ref().iter().map(|root| root_pattern(root)).collect::<Result<_, _>>();
            profile.roots = roots_of.map_err(|why| refuse(roots.span(), why))?;
        }
        if let Some(depth) = &self.depth {
            let Levels(levels) = depth.get_ref();
            profile.depths = Depths::of(levels)
                .filter(|depths| *depths != Depths::NONE)
                .ok_or_else(|| refuse(depth.span(), format!("depth = {levels:?}, expected 0 to 2")))?;
        }
        if let Some(level) = &self.container_level {
            profile.container_level = *level.get_ref();
        }
        if let Some(until) = &self.container_until {
            profile.container_until = Some(until.get_ref().clone()).filter(|text| !text.is_empty());
        }
        if let Some(lock) = &self.lock {
            profile.locks_file = lock.get_ref().iter().any(|name| name == FILE);
            profile.locks_directory = lock.get_ref().iter().any(|name| name == DIRECTORY);
        }
        let groups =
            [(Role::State, &self.state), (Role::Temporary, &self.temporary), (Role::Lock, &self.lock)];
        for (role, texts) in groups {
            let Some(texts) = texts else { continue };
            profile.names.retain(|name| name.role != role);
            for text in texts.get_ref().iter().filter(|text| ![FILE, DIRECTORY].contains(&&***text)) {
                profile.names.push(name_pattern(role, text).map_err(|why| refuse(texts.span(), why))?);
            }
        }
        self.check(&profile).map_err(|(at, why)| refuse(at.unwrap_or(here), why))?;
        // As `view` writes them.
        profile.names.sort_by_key(|name| name.role as u8);
        Ok(profile)
    }

    fn check(&self, profile: &Profile) -> Result<(), (Option<Range<usize>>, String)> {
        let level = profile.container_level;
        if level > 0 && !profile.depths.reach_below(level) {
            let at = self.container_level.as_ref().map(Spanned::span);
            return Err((at, format!("container-level = {level}, expected less than the depth")));
        }
        let state = self.state.as_ref().map(Spanned::span);
        if !profile.names.iter().any(|name| name.role == Role::State) {
            return Err((state, "`state` names no file".to_owned()));
        }
        let (given, limit) = (profile.names.len(), Profile::MAX_NAMES);
        if given > limit {
            return Err((state, format!("{given} names, expected at most {limit}")));
        }
        Ok(())
    }
}

impl Profile {
    /// The profile with every key.
    #[must_use]
    pub fn written(&self) -> Written {
        let of = |role| self.names.iter().filter(move |name| name.role == role).map(ToString::to_string);
        let locks = [(self.locks_file, FILE), (self.locks_directory, DIRECTORY)];
        let locks = locks.into_iter().filter(|(given, _)| *given).map(|(_, word)| word.to_owned());
        Written {
            name: plain(self.name.to_string()),
            watched: Some(self.watched),
            roots: Some(plain(self.roots.clone())),
            depth: Some(plain(Levels(self.depths.iter().collect()))),
            container_level: Some(plain(self.container_level)),
            container_until: Some(plain(self.container_until.clone().unwrap_or_default())),
            state: Some(plain(of(Role::State).collect())),
            temporary: Some(plain(of(Role::Temporary).collect())),
            lock: Some(plain(locks.chain(of(Role::Lock)).collect())),
            content: Some(self.content),
        }
    }
}

/// A value that stands in no file.
pub(super) fn plain<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// One depth, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Levels(pub(super) Vec<u8>);

impl Serialize for Levels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LevelsVisitor)
    }
}

struct LevelsVisitor;

impl<'de> Visitor<'de> for LevelsVisitor {
    type Value = Levels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0 to 2, or a list of these")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Levels, E> {
        let level =
            u8::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))?;
        Ok(Levels(vec![level]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Levels, A::Error> {
        let mut levels = Vec::new();
        while let Some(level) = items.next_element()? {
            levels.push(level);
        }
        Ok(Levels(levels))
    }
}
