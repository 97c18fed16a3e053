//! From a line of a story to a step.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use watchdog::detect::Limits;
use watchdog::model::{
    Access, Actor, BootNanos, Comm, Content, Damage, EventOperation as Operation, ExitStatus, FileEvent,
    InodeId, LockMode, LockOwner, OpenId, Pid, Place, Role, RootId, Span, Target,
};

use super::{Cast, Step};

type Result<T> = std::result::Result<T, String>;

/// `100-180 w open a/state.json as f ino=1 rw truncated size=0`
pub(super) fn line(line: &str, cast: &mut Cast, limits: &mut Limits) -> Result<Option<Step>> {
    let line = line.split_once(" #").map_or(line, |(line, _)| line).trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    if let ["limits", rest @ ..] = words.as_slice() {
        set_limits(rest, limits)?;
        return Ok(None);
    }
    let (time, words) = words.split_first().ok_or("a time is missing")?;
    let span = span(time)?;
    if words == ["advance"] {
        return Ok(Some(Step::Advance(span.end)));
    }
    let (actor, words) = words.split_first().ok_or("an actor is missing")?;
    let (verb, words) = words.split_first().ok_or("a verb is missing")?;
    let words = Words::new(words);
    if let Some(lost) = words.number("lost")? {
        cast.lost = lost;
    }
    let operation = operation(verb, &words, span, cast)?;
    let event = FileEvent { span, actor: cast.actor(actor), lost: cast.lost, operation };
    Ok(Some(Step::Event(Box::new(event))))
}

fn operation(verb: &str, words: &Words<'_>, span: Span, cast: &mut Cast) -> Result<Operation> {
    let size = words.range("size")?;
    Ok(match verb {
        "open" => Operation::Open {
            id: cast.open(words.after("as")?, span),
            inode: words.inode()?.ok_or("an inode is missing")?,
            place: place(words.plain(0)?)?,
            access: Access {
                read: !words.has("write-only"),
                write: words.has("rw") || words.has("write-only"),
            },
            created: words.has("created"),
            truncated: words.has("truncated"),
            size: size.1,
        },
        "read" => Operation::Read {
            id: cast.description(words.plain(0)?),
            offset: offset(words.plain(1)?)?,
            requested: length(words.plain(2)?)?,
            returned: number(words.after("got")?)?,
            size_before: size.0,
            size: size.1,
        },
        "write" => Operation::Write {
            id: cast.description(words.plain(0)?),
            offset: offset(words.plain(1)?)?,
            length: length(words.plain(2)?)?,
            size_before: size.0,
            size: size.1,
        },
        "truncate" => Operation::Truncate {
            target: match words.plain(0)? {
                path if path.contains('/') => Target::Place(place(path)?),
                name => Target::Open(cast.description(name)),
            },
            inode: words.inode()?,
            to: number(words.after("to")?)?,
            size_before: words.number("from")?,
        },
        "map" => Operation::Map {
            id: cast.description(words.plain(0)?),
            shared: !words.has("private"),
            writable: words.has("writable"),
        },
        "write-failed" => Operation::WriteFailed { id: cast.description(words.plain(0)?) },
        "sync" => Operation::Sync { id: cast.description(words.plain(0)?) },
        "lock" => Operation::Lock {
            id: cast.description(words.plain(0)?),
            mode: match words.plain(1)? {
                "shared" => LockMode::Shared,
                "exclusive" => LockMode::Exclusive,
                "unlocked" => LockMode::Unlocked,
                other => return Err(format!("no lock mode is called {other}")),
            },
            owner: if words.has("process") { LockOwner::Process } else { LockOwner::Description },
        },
        "rename" => Operation::Rename {
            from: maybe_place(words.plain(0)?)?,
            to: maybe_place(words.after("to")?)?,
            inode: words.inode()?,
            exchange: words.has("exchange"),
            still_open_for_writing: match (words.has("still-open"), words.has("closed")) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
        },
        "link" => Operation::Link {
            from: maybe_place(words.plain(0)?)?,
            to: place(words.after("to")?)?,
            inode: words.inode()?,
        },
        "unlink" => Operation::Unlink { place: place(words.plain(0)?)?, inode: words.inode()? },
        "release" => Operation::Release { id: cast.description(words.plain(0)?) },
        "exit" => Operation::Exit {
            status: match words.plain(0)?.strip_prefix("signal:") {
                Some(signal) => ExitStatus::Signal(byte(signal)?),
                None => ExitStatus::Code(byte(words.plain(0)?)?),
            },
        },
        "present" => {
            Operation::Present { place: place(words.plain(0)?)?, inode: words.inode()?, size: size.1 }
        }
        "content" => Operation::Content {
            place: place(words.plain(0)?)?,
            inode: words.inode()?,
            size: size.1.ok_or("a size is missing")?,
            content: match words.plain(1)? {
                "valid" => Content::Valid,
                "empty" => Content::Damaged(Damage::Empty),
                "truncated" => Content::Damaged(Damage::Truncated),
                "invalid" => Content::Damaged(Damage::Invalid),
                "not-judged" => Content::NotJudged,
                other => return Err(format!("no content is called {other}")),
            },
        },
        "move-directory" => Operation::MoveDirectory {
            root: RootId(0),
            container: words.plain(0)?.into(),
            to: Some(words.after("to")?).filter(|to| *to != "elsewhere").map(|to| (RootId(0), to.into())),
        },
        "heartbeat" => Operation::Heartbeat,
        other => return Err(format!("no operation is called {other}")),
    })
}

impl Cast {
    /// Actors are numbered as they appear: the first is process 101. `w.2` is a second thread of `w`.
    fn actor(&mut self, name: &str) -> Actor {
        if name == "-" {
            return Actor::default();
        }
        let (process, thread) = name.split_once('.').unwrap_or((name, "0"));
        let index = self.actors.iter().position(|known| known == process).unwrap_or_else(|| {
            self.actors.push(process.to_owned());
            self.actors.len() - 1
        });
        let pid = 101 + u32::try_from(index).unwrap();
        let tid = pid + 1000 * thread.parse::<u32>().unwrap_or_default();
        Actor { pid: Pid(pid), tid, comm: Comm::new(process) }
    }

    /// `f` and `f'` are two uses of one address.
    fn open(&mut self, name: &str, span: Span) -> OpenId {
        let id = OpenId { file: self.address(name), opened: span.end.0 };
        self.descriptions.insert(name.to_owned(), id);
        id
    }

    fn description(&mut self, name: &str) -> OpenId {
        let known = self.descriptions.get(name).copied();
        known.unwrap_or_else(|| OpenId { file: self.address(name), opened: 0 })
    }

    fn address(&mut self, name: &str) -> u64 {
        let name = name.trim_end_matches('\'');
        let index = self.addresses.iter().position(|known| known == name).unwrap_or_else(|| {
            self.addresses.push(name.to_owned());
            self.addresses.len() - 1
        });
        0x1000 + 0x100 * index as u64
    }
}

/// The words behind a verb: plain ones by position, `key=value` and `key value` by key.
struct Words<'a> {
    plain: Vec<&'a str>,
    keyed: HashMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(words: &[&'a str]) -> Self {
        let (mut plain, mut keyed) = (Vec::new(), HashMap::new());
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "as" | "to" | "got" => {
                    keyed.insert(word, words.next().unwrap_or_default());
                }
                _ => match word.split_once('=') {
                    Some((key, value)) => {
                        keyed.insert(key, value);
                    }
                    None => plain.push(word),
                },
            }
        }
        Self { plain, keyed }
    }

    fn plain(&self, index: usize) -> Result<&'a str> {
        self.plain.get(index).copied().ok_or_else(|| "a word is missing".to_owned())
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    fn after(&self, key: &str) -> Result<&'a str> {
        self.keyed.get(key).copied().ok_or_else(|| format!("a word after {key} is missing"))
    }

    fn number(&self, key: &str) -> Result<Option<u64>> {
        self.keyed.get(key).map(|value| number(value)).transpose()
    }

    fn inode(&self) -> Result<Option<InodeId>> {
        Ok(self.number("ino")?.map(|ino| InodeId { dev: 1, ino, generation: 0 }))
    }

    /// `size=5..9` changed under way, `size=9` did not, `size=..9` is known afterwards only.
    fn range(&self, key: &str) -> Result<(Option<u64>, Option<u64>)> {
        let Some(value) = self.keyed.get(key) else { return Ok((None, None)) };
        match value.split_once("..") {
            Some(("", after)) => Ok((None, Some(number(after)?))),
            Some((before, after)) => Ok((Some(number(before)?), Some(number(after)?))),
            None => Ok((Some(number(value)?), Some(number(value)?))),
        }
    }
}

fn set_limits(words: &[&str], limits: &mut Limits) -> Result<()> {
    for word in words {
        let (key, value) = word.split_once('=').ok_or("a limit needs a value")?;
        let value = usize::try_from(number(value)?).map_err(|e| e.to_string())?;
        match key {
            "files" => limits.files = value,
            "descriptions" => limits.descriptions = value,
            "readers_per_file" => limits.readers_per_file = value,
            "sessions" => limits.sessions = value,
            "calls_per_pass" => limits.calls_per_pass = value,
            "passes" => limits.passes = value,
            "horizon_us" => limits.horizon = Duration::from_micros(value as u64),
            "session_deadline_us" => limits.session_deadline = Duration::from_micros(value as u64),
            other => return Err(format!("no limit is called {other}")),
        }
    }
    Ok(())
}

/// `lock:a/state.json` is the lock file of `a/state.json`; names that begin with `state-` are temporary.
fn place(path: &str) -> Result<Arc<Place>> {
    let (lock, path) = path.strip_prefix("lock:").map_or((false, path), |path| (true, path));
    let (container, name) = path.rsplit_once('/').ok_or("a path needs a container and a name")?;
    let role = match name {
        _ if lock => Role::Lock,
        name if name.starts_with("state-") => Role::Temporary,
        _ => Role::State,
    };
    Ok(Arc::new(Place { root: RootId(0), container: container.into(), name: name.into(), role }))
}

fn maybe_place(path: &str) -> Result<Option<Arc<Place>>> {
    if path == "elsewhere" { Ok(None) } else { place(path).map(Some) }
}

/// In microseconds.
fn span(time: &str) -> Result<Span> {
    let (start, end) = time.split_once('-').unwrap_or((time, time));
    let nanos = |text| Ok::<_, String>(BootNanos(number(text)? * 1000));
    Ok(Span::new(nanos(start)?, nanos(end)?))
}

/// `all` stands for a length that is not known.
fn length(word: &str) -> Result<u64> {
    if word == "all" { Ok(u64::MAX) } else { number(word) }
}

fn offset(word: &str) -> Result<Option<u64>> {
    if word == "?" { Ok(None) } else { number(word).map(Some) }
}

fn number(word: &str) -> Result<u64> {
    let (digits, factor) = word.strip_suffix('s').map_or((word, 1), |digits| (digits, 1_000_000));
    digits.replace('_', "").parse::<u64>().map(|n| n * factor).map_err(|_| format!("{word} is no number"))
}

fn byte(word: &str) -> Result<u8> {
    word.parse().map_err(|_| format!("{word} is no byte"))
}
