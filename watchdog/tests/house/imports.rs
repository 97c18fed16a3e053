//! Which file of a crate uses which: read from the sources, as far as a circle of imports needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One file of a crate.
struct Module {
    /// Its path from the crate's root.
    path: Vec<String>,
    /// All `use` declarations, one name each.
    uses: Vec<Use>,
    /// What is left without comments, strings, `use` and `mod` declarations.
    code: String,
}

/// A name that a `use` declaration brings.
struct Use {
    /// Others may take the name from here.
    exported: bool,
    path: Vec<String>,
    name: String,
}

/// A crate's files and who uses whom.
pub(crate) struct Crate {
    modules: Vec<Module>,
    index: BTreeMap<Vec<String>, usize>,
}

/// Whether a file's use of what a folder around it declares counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Every use counts.
    Files,
    /// A module and what is below it are one family, whose members may use what the elder declares.
    Families,
}

impl Crate {
    /// Reads the file of the crate's root and every module that it declares; `read` gives a file's text.
    pub(crate) fn load(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut found = Self { modules: Vec::new(), index: BTreeMap::new() };
        let folder = root.parent().unwrap().to_owned();
        let mut open = vec![(Vec::new(), root.to_owned(), folder)];
        while let Some((path, file, folder)) = open.pop() {
            let text = read(&file).unwrap_or_else(|| panic!("no file {}", file.display()));
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            for declared in declared(&text) {
                let mut child = path.clone();
                child.push(declared.name.clone());
                let candidates = match &declared.place {
                    Some(place) => vec![file.parent().unwrap().join(place)],
                    None => vec![
                        folder.join(format!("{}.rs", declared.name)),
                        folder.join(&declared.name).join("mod.rs"),
                    ],
                };
                let place = candidates.iter().find(|place| read(place).is_some());
                let place =
                    place.unwrap_or_else(|| panic!("no module {} of {}", declared.name, file.display()));
                open.push((child, place.clone(), folder.join(&declared.name)));
            }
            let (uses, code) = parse(&bare(&text));
            found.index.insert(path.clone(), found.modules.len());
            found.modules.push(Module { path, uses, code });
        }
        found
    }

    /// How many files were read.
    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    /// Each circle, as the files of which every one uses all others in the end.
    pub(crate) fn circles(&self, rule: Rule) -> Vec<String> {
        let used: Vec<BTreeSet<usize>> = (0..self.modules.len()).map(|from| self.used(from, rule)).collect();
        let reached: Vec<BTreeSet<usize>> = (0..used.len()).map(|from| reach(from, &used)).collect();
        let mut circles = BTreeSet::new();
        for from in 0..used.len() {
            let circle: Vec<usize> =
                reached[from].iter().copied().filter(|&to| reached[to].contains(&from)).collect();
            if !circle.is_empty() {
                let line = |&one: &usize| {
                    let within = used[one].iter().filter(|to| circle.contains(to));
                    let names: Vec<String> = within.map(|&to| self.name(to)).collect();
                    format!("{} uses {}", self.name(one), names.join(", "))
                };
                let mut lines: Vec<String> = circle.iter().map(line).collect();
                lines.sort();
                circles.insert(lines.join("\n  "));
            }
        }
        circles.into_iter().collect()
    }

    fn name(&self, module: usize) -> String {
        let path = &self.modules[module].path;
        if path.is_empty() { "the root".to_owned() } else { path.join("::") }
    }

    /// The files whose items a file uses.
    fn used(&self, from: usize, rule: Rule) -> BTreeSet<usize> {
        let module = &self.modules[from];
        let imported = module.uses.iter().filter(|one| !one.exported || has_word(&module.code, &one.name));
        let mut paths: BTreeSet<Vec<String>> = imported.map(|one| one.path.clone()).collect();
        paths.extend(inline(&module.code));
        let homes = paths.iter().filter_map(|path| self.home(from, path, 0));
        let counts = |&to: &usize| {
            let elder = module.path.starts_with(&self.modules[to].path);
            to != from && !(rule == Rule::Families && elder)
        };
        homes.filter(counts).collect()
    }

    /// The file in which that ends which `path` names in a file; `None` for other crates' and for local names.
    fn home(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        assert!(depth < 32, "{} names {path:?}, which leads to itself", self.name(from));
        let mut at = self.modules[from].path.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            name if self.child(&at, name).is_some() => {}
            name => return self.through(from, name, &rest[1..], path, depth),
        }
        while let Some(name) = rest.first() {
            let here = self.index[&at];
            // An item may have a module's name: the last word of a path means the item, where there is one.
            let last = rest.len() == 1;
            match self.child(&at, name) {
                Some(child) if !(last && self.gives(here, name)) => {
                    at = self.modules[child].path.clone();
                    rest = &rest[1..];
                }
                _ if defines(&self.modules[here].code, name) => return Some(here),
                _ => return self.through(here, name, &rest[1..], path, depth).or(Some(here)),
            }
        }
        Some(self.index[&at])
    }

    /// The home of what a `use` declaration in `here` calls `name`, or of what it takes whole.
    fn through(
        &self,
        here: usize,
        name: &str,
        rest: &[String],
        asked: &[String],
        depth: usize,
    ) -> Option<usize> {
        let uses = &self.modules[here].uses;
        let named = uses.iter().find(|one| one.name == name && one.path != asked);
        if let Some(one) = named {
            return self.home(here, &[&one.path[..], rest].concat(), depth + 1);
        }
        let own = |one: &&Use| {
            let first = one.path.first().map_or("", String::as_str);
            ["crate", "self", "super"].contains(&first)
                || self.child(&self.modules[here].path, first).is_some()
        };
        uses.iter().filter(|one| one.name == "*").filter(own).find_map(|one| {
            let whole = self.home(here, &one.path, depth + 1)?;
            defines(&self.modules[whole].code, name).then_some(whole)
        })
    }

    fn gives(&self, module: usize, name: &str) -> bool {
        let Module { uses, code, .. } = &self.modules[module];
        defines(code, name) || uses.iter().any(|one| one.name == name)
    }

    fn child(&self, at: &[String], name: &str) -> Option<usize> {
        let mut path = at.to_owned();
        path.push(name.to_owned());
        self.index.get(&path).copied()
    }
}

/// All that can be reached in one step or more.
fn reach(from: usize, used: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(one) = open.pop() {
        open.extend(used[one].iter().copied().filter(|&to| reached.insert(to)));
    }
    reached
}

/// A module that a file declares.
struct Declared {
    name: String,
    /// By an attribute.
    place: Option<PathBuf>,
}

/// The modules in files of their own, but for those of tests.
fn declared(text: &str) -> Vec<Declared> {
    let (mut found, mut place, mut for_tests) = (Vec::new(), None, false);
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            place = path.split('"').next().map(PathBuf::from);
        } else if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            for_tests = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            let name = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
            let public = |before: &str| before.is_empty() || before.starts_with("pub");
            if let Some((_, name)) = name.filter(|(before, _)| public(before) && !for_tests) {
                found.push(Declared { name: name.to_owned(), place: place.take() });
            }
            (place, for_tests) = (None, false);
        }
    }
    found
}

/// The text without comments, without what stands in quotes, and without the paths of visibilities.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |at| at + 5)
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |at| at + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("pub(in ") {
            // Who may see an item is no use of anything.
            bare.push_str("pub");
            rest.find(')').map_or(rest.len(), |at| at + 1)
        } else {
            bare.push(next);
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    bare
}

/// Takes `use` and `mod` declarations out of code.
fn parse(code: &str) -> (Vec<Use>, String) {
    let (mut uses, mut left, mut statement) = (Vec::new(), String::new(), None::<String>);
    for line in code.lines() {
        let trimmed = line.trim();
        let (exported, without) = match trimmed.strip_prefix("pub") {
            Some(rest) => (true, rest.trim_start_matches(|c| c != ' ').trim_start()),
            None => (false, trimmed),
        };
        let begins = statement.is_none() && without.starts_with("use ");
        if begins || statement.is_some() {
            let text =
                statement.get_or_insert_with(|| if exported { "pub ".to_owned() } else { String::new() });
            text.push_str(if begins { &without[4..] } else { trimmed });
            if trimmed.ends_with(';') {
                let text = statement.take().unwrap();
                let exported = text.starts_with("pub ");
                let tree = text.trim_start_matches("pub ").trim_end_matches(';');
                names(&[], tree, exported, &mut uses);
            }
        } else if !(without.starts_with("mod ") && trimmed.ends_with(';')) {
            left.push_str(line);
            left.push('\n');
        }
    }
    (uses, left)
}

/// Adds each name of a tree such as `a::{b, c as d, e::*}`.
fn names(before: &[String], tree: &str, exported: bool, uses: &mut Vec<Use>) {
    let tree = tree.trim();
    let (head, list) = tree.split_once('{').map_or((tree, None), |(head, list)| (head, Some(list)));
    let mut path = before.to_owned();
    let (head, alias) = head.split_once(" as ").map_or((head, None), |(head, alias)| (head, Some(alias)));
    path.extend(head.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned));
    if let Some(list) = list {
        let list = list.trim_end().strip_suffix('}').unwrap();
        let (mut depth, mut begin) = (0, 0);
        for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !list[begin..at].trim().is_empty() {
                        names(&path, &list[begin..at], exported, uses);
                    }
                    begin = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let whole = path.last().is_some_and(|word| word == "*");
    if whole || (path.len() > 1 && path.last().is_some_and(|word| word == "self")) {
        path.pop();
    }
    let own = if whole { "*".to_owned() } else { path.last().cloned().unwrap_or_default() };
    let name = alias.map_or(own, |alias| alias.trim().to_owned());
    uses.push(Use { exported, path, name });
}

/// The paths of two words or more within code.
fn inline(code: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_word(c));
    words
        .map(|word| word.split("::").take_while(|part| !part.is_empty() && !part.contains(':')))
        .map(|parts| parts.map(str::to_owned).collect::<Vec<_>>())
        .filter(|path| path.len() > 1)
        .collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|one| one == word)
}

/// True when the code declares an item of that name.
fn defines(code: &str, name: &str) -> bool {
    const KINDS: [&str; 9] = ["fn", "struct", "enum", "trait", "const", "static", "type", "union", "mod"];
    code.lines().filter(|line| !line.starts_with(' ')).any(|line| {
        let mut words =
            line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        words.any(|word| KINDS.contains(&word)) && words.next().is_some_and(|word| word == name)
    })
}
