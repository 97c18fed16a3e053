//! Passwords, checked beside everything else.
//!
//! bcrypt takes tens of milliseconds by design, so one thread does it, with few requests waiting; what was found is
//! remembered, so that a scrape pays once. Neither wrong passwords nor many of them hold up anything but themselves.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::oneshot;

use crate::config::cost;
use crate::privilege;

/// So many requests wait for the thread; further ones are sent away.
const MAX_WAITING: usize = 4;
/// So many answers of either kind are remembered.
const MAX_KNOWN: usize = 128;

/// A user and a password as sent.
pub(super) struct Attempt {
    pub(super) user: String,
    pub(super) password: Vec<u8>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Too many are waiting.
    Busy,
}

/// Checks passwords.
pub(super) struct Passwords {
    questions: SyncSender<Question>,
    /// Makes what is remembered useless to whoever reads it.
    key: hmac::Key,
    known: Mutex<Known>,
}

/// The marks of attempts that were right and of those that were wrong: the many of one kind do not drive out the other.
#[derive(Default)]
struct Known {
    right: HashMap<Mark, ()>,
    wrong: HashMap<Mark, ()>,
}

type Mark = [u8; 32];

struct Question {
    password: Vec<u8>,
    hash: String,
    answer: oneshot::Sender<bool>,
}

impl Passwords {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let (questions, waiting) = sync_channel(MAX_WAITING);
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("no random number for the key of remembered passwords"))?;
        std::thread::Builder::new()
            .name("passwords".to_owned())
            .stack_size(128 << 10)
            .spawn(move || work(&waiting))?;
        Ok(Self { questions, key, known: Mutex::default() })
    }

    /// Whether the attempt is right for one of the users.
    pub(super) async fn check(&self, users: &BTreeMap<String, String>, attempt: Attempt) -> Verdict {
        let Attempt { user, password } = attempt;
        let (hash, is_user) = match users.get(&user) {
            Some(hash) => (hash.clone(), true),
            // Takes as long as a user's would, so that names cannot be guessed by time.
            None => (stand_in(users), false),
        };
        let mark = self.mark(&user, &password, &hash);
        if let Some(verdict) = self.remembered(&mark) {
            return verdict;
        }
        let (answer, answered) = oneshot::channel();
        if self.questions.try_send(Question { password, hash, answer }).is_err() {
            return Verdict::Busy;
        }
        let verdict = match answered.await {
            Ok(true) if is_user => Verdict::Right,
            Ok(_) => Verdict::Wrong,
            Err(_) => return Verdict::Busy,
        };
        self.remember(mark, verdict);
        verdict
    }

    /// The hash is part of it: another password for the user makes old answers worthless.
    fn mark(&self, user: &str, password: &[u8], hash: &str) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [hash.as_bytes(), user.as_bytes(), password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut mark = Mark::default();
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn remembered(&self, mark: &Mark) -> Option<Verdict> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let right = known.right.contains_key(mark).then_some(Verdict::Right);
        right.or_else(|| known.wrong.contains_key(mark).then_some(Verdict::Wrong))
    }

    fn remember(&self, mark: Mark, verdict: Verdict) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if verdict == Verdict::Right { &mut known.right } else { &mut known.wrong };
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(mark, ());
    }
}

fn work(waiting: &Receiver<Question>) {
    privilege::shed_all();
    // Whatever else the node does comes first. Linux takes the thread alone for the calling process.
    let _ = rustix::process::setpriority_process(None, 10);
    while let Ok(Question { password, hash, answer }) = waiting.recv() {
        // Whoever asked may be gone; then nobody needs to know.
        if !answer.is_closed() {
            let _ = answer.send(bcrypt::verify(password, &hash).unwrap_or(false));
        }
    }
}

/// A hash of nothing that anybody knows, as costly as the first user's.
fn stand_in(users: &BTreeMap<String, String>) -> String {
    let cost = users.values().next().and_then(|hash| cost(hash)).unwrap_or(10);
    format!("$2y${cost:02}$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn users() -> BTreeMap<String, String> {
        let hash = bcrypt::hash("right", 4).unwrap();
        [("alice".to_owned(), hash)].into()
    }

    fn attempt(user: &str, password: &str) -> Attempt {
        Attempt { user: user.to_owned(), password: password.as_bytes().to_owned() }
    }

    #[tokio::test]
    async fn only_the_users_own_password_is_right() {
        let (passwords, users) = (Passwords::start().unwrap(), users());
        for _ in 0..2 {
            assert_eq!(passwords.check(&users, attempt("alice", "right")).await, Verdict::Right);
            assert_eq!(passwords.check(&users, attempt("alice", "wrong")).await, Verdict::Wrong);
            assert_eq!(passwords.check(&users, attempt("alice", "")).await, Verdict::Wrong);
            assert_eq!(passwords.check(&users, attempt("bob", "right")).await, Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn another_hash_makes_what_is_remembered_worthless() {
        let (passwords, mut users) = (Passwords::start().unwrap(), users());
        assert_eq!(passwords.check(&users, attempt("alice", "right")).await, Verdict::Right);
        users.insert("alice".to_owned(), bcrypt::hash("new", 4).unwrap());
        assert_eq!(passwords.check(&users, attempt("alice", "right")).await, Verdict::Wrong);
        assert_eq!(passwords.check(&users, attempt("alice", "new")).await, Verdict::Right);
    }

    #[tokio::test]
    async fn a_flood_of_wrong_passwords_is_sent_away_and_what_is_known_is_answered_at_once() {
        let passwords = std::sync::Arc::new(Passwords::start().unwrap());
        let hash = bcrypt::hash("right", 9).unwrap();
        let users: BTreeMap<String, String> = [("alice".to_owned(), hash)].into();
        assert_eq!(passwords.check(&users, attempt("alice", "right")).await, Verdict::Right);
        let flood: Vec<_> = (0..200)
            .map(|i| {
                let (passwords, users) = (std::sync::Arc::clone(&passwords), users.clone());
                tokio::spawn(async move { passwords.check(&users, attempt("alice", &i.to_string())).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let start = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(passwords.check(&users, attempt("alice", "right")).await, Verdict::Right);
        }
        // A single check of a password of this cost takes longer than these thousand.
        let remembered = start.elapsed();
        let start = Instant::now();
        assert!(bcrypt::verify("right", &users["alice"]).unwrap());
        assert!(remembered < start.elapsed() * 20, "{remembered:?}");
        let mut busy = 0;
        for verdict in flood {
            match verdict.await.unwrap() {
                Verdict::Busy => busy += 1,
                verdict => assert_eq!(verdict, Verdict::Wrong),
            }
        }
        assert!(busy >= 200 - 2 * MAX_WAITING, "{busy}");
        assert!(passwords.known.lock().unwrap().wrong.len() <= MAX_KNOWN);
    }
}
