//! Replaces secrets in command lines.
//!
//! It hides too much rather than too little. A text that was redacted stays the same when it is redacted again.

use super::names::{is_secret, is_secret_key};
use super::words::pieces;

/// Stands in place of a secret.
const MASK: &str = "***";
/// Options of one letter whose value is a password, by the beginning of the program's name.
const LETTERS: [(&str, char); 9] = [
    ("mysql", 'p'),
    ("mariadb", 'p'),
    ("mongo", 'p'),
    ("sshpass", 'p'),
    ("redis-cli", 'a'),
    ("valkey-cli", 'a'),
    ("ldap", 'w'),
    ("ipmitool", 'P'),
    ("sqlcmd", 'P'),
];
/// Words before a secret in headers.
const SCHEMES: [&str; 3] = ["basic", "bearer", "digest"];

/// What the next word is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// Nothing special.
    #[default]
    Plain,
    /// A secret.
    Secret,
    /// A secret unless it looks like a path or a number: the value of `-p`.
    Perhaps,
    /// `USER:PASSWORD`.
    User,
}

/// Replaces secrets; returns true if there were any. `cut` says that the last argument may lack its end.
pub(super) fn redact(args: &mut [String], cut: bool) -> bool {
    let mut line = Line::default();
    let mut changed = false;
    let last = args.len().checked_sub(1);
    for (index, arg) in args.iter_mut().enumerate() {
        let mut hidden = line.argument(arg);
        if cut && Some(index) == last {
            hide_cut_end(&mut hidden);
        }
        if hidden != *arg {
            *arg = hidden;
            changed = true;
        }
    }
    changed
}

/// A command line on the way from its first argument to its last.
#[derive(Default)]
struct Line {
    next: Next,
    /// Letters that are passwords' options for a program that was named.
    letters: Vec<char>,
    /// What is left of the argument is a secret.
    rest: bool,
}

impl Line {
    fn argument(&mut self, arg: &str) -> String {
        self.expect_option(arg);
        // Where the argument as a whole names a secret, its value may hold blanks and anything else.
        if self.next != Next::Plain || assigned(arg).is_some() || is_secret_option(arg) {
            return self.word(arg);
        }
        let mut hidden = String::with_capacity(arg.len());
        self.rest = false;
        for (piece, is_word) in pieces(arg) {
            if self.rest {
                break;
            }
            if is_word { hidden += &self.word(piece) } else { hidden += piece }
        }
        hidden
    }

    /// Takes an option as such where a value that need not be a secret could stand: the option before it has none.
    fn expect_option(&mut self, word: &str) {
        if matches!(self.next, Next::Perhaps | Next::User) && word.len() > 1 && word.starts_with('-') {
            self.next = Next::Plain;
        }
    }

    /// Hides what is secret in a word. Quotes before it stay where they are.
    fn word(&mut self, word: &str) -> String {
        self.expect_option(word);
        let next = std::mem::take(&mut self.next);
        match next {
            Next::Plain => {}
            Next::Secret => {
                // An option may follow that is a secret's name as well; should it be the secret, it is hidden.
                if word.starts_with('-') && is_secret(word.trim_start_matches('-')) {
                    self.next = Next::Secret;
                }
                return MASK.to_owned();
            }
            Next::Perhaps if !looks_harmless(word) => return MASK.to_owned(),
            Next::Perhaps => return word.to_owned(),
            Next::User => return user(word).unwrap_or_else(|| self.value(word)),
        }
        let bare = word.trim_start_matches(['"', '\'']);
        let quotes = &word[..word.len() - bare.len()];
        let hidden =
            if bare.len() > 1 && bare.starts_with('-') { self.option(bare) } else { self.value(bare) };
        format!("{quotes}{hidden}")
    }

    fn option(&mut self, option: &str) -> String {
        if let Some((name, value)) = option.split_once('=') {
            if is_secret(name) || (!name.starts_with("--") && is_joined_variable(name)) {
                return format!("{name}={MASK}");
            }
            let value =
                if is_user_option(name) { user(value) } else { None }.unwrap_or_else(|| self.value(value));
            return format!("{name}={value}");
        }
        let name = option.trim_start_matches('-');
        if is_user_option(option) {
            self.next = Next::User;
        } else if let Some((letter, value)) = joined(option)
            && self.letters.contains(&letter)
        {
            if !value.is_empty() {
                return format!("-{letter}{MASK}");
            }
            self.next = Next::Secret;
        } else if option == "-p" {
            self.next = Next::Perhaps;
        } else if is_secret(name) {
            self.next = Next::Secret;
        } else if let Some(value) = option.strip_prefix("-u").and_then(user) {
            return format!("-u{value}");
        } else if name.contains(':') {
            return self.value(option);
        }
        option.to_owned()
    }

    /// A word that is no option, or an option's value.
    fn value(&mut self, word: &str) -> String {
        if let Some(name) = assigned(word) {
            return format!("{name}={MASK}");
        }
        if word.contains("://") {
            return url(word);
        }
        if let Some(before) = keyed(word) {
            self.rest = true;
            return format!("{before}:{MASK}");
        }
        if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
            self.next = Next::Secret;
        }
        let program = word.rsplit('/').next().unwrap_or(word);
        for (name, letter) in LETTERS {
            if program.starts_with(name) && !self.letters.contains(&letter) {
                self.letters.push(letter);
            }
        }
        // `docker login -p …`, and others that log in.
        if word == "login" && !self.letters.contains(&'p') {
            self.letters.push('p');
        }
        user_at_host(word).unwrap_or_else(|| word.to_owned())
    }
}

/// The name of `NAME=VALUE`.
fn assigned(word: &str) -> Option<&str> {
    let (name, value) = word.split_once('=')?;
    let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']' | '+');
    // What was hidden is no secret any more; nothing is none.
    (begins && name.chars().all(is_name) && !value.is_empty()).then_some(name)
}

/// True for `--password=VALUE` and its like.
fn is_secret_option(arg: &str) -> bool {
    arg.starts_with('-') && arg.split_once('=').is_some_and(|(name, _)| is_secret(name))
}

/// `-eNAME`, the beginning of `-eNAME=VALUE`.
fn is_joined_variable(name: &str) -> bool {
    let variable = name.get(2..).unwrap_or_default();
    variable.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && variable.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The letter and the value of `-pVALUE`.
fn joined(option: &str) -> Option<(char, &str)> {
    let rest = option.strip_prefix('-')?;
    let letter = rest.chars().next().filter(|letter| *letter != '-')?;
    Some((letter, &rest[letter.len_utf8()..]))
}

fn is_user_option(option: &str) -> bool {
    ["-u", "--user", "--proxy-user", "-user"].contains(&option)
}

/// True for what the value of `-p` is where it is no password: a path, a port, a process, another option.
fn looks_harmless(word: &str) -> bool {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b',' | b'-'));
    word.starts_with(['/', '.', '-']) || is_number
}

/// `USER:***` of `USER:PASSWORD`; `None` for what is none, such as `0:0`.
fn user(word: &str) -> Option<String> {
    let (user, password) = word.split_once(':')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let ids = is_number(user) && is_number(password);
    (!ids && !password.is_empty() && !password.starts_with("//")).then(|| format!("{user}:{MASK}"))
}

/// `USER:***@HOST` of `USER:PASSWORD@HOST`.
fn user_at_host(word: &str) -> Option<String> {
    let (user, rest) = word.split_once(':')?;
    let (password, host) = rest.rsplit_once('@')?;
    // An image's tag and digest.
    let digest = host.starts_with("sha256:") || host.starts_with("sha512:");
    (!user.contains(['/', '@']) && !password.is_empty() && !digest).then(|| format!("{user}:{MASK}@{host}"))
}

/// What stands before the colon of `NAME:VALUE` where the value is a secret.
fn keyed(word: &str) -> Option<&str> {
    word.match_indices(':').find_map(|(at, _)| {
        let before = &word[..at];
        let name = before.trim_end_matches(['"', '\'', '\\']);
        let begin = name
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
        is_secret_key(&name[begin..]).then_some(before)
    })
}

/// Hides passwords and secret parameters of a URL, or of several.
fn url(word: &str) -> String {
    let Some((before, after)) = word.split_once("://") else { return word.to_owned() };
    let (before, after) = (before.to_owned() + "://", parameters(after));
    let scheme_is_web = before.ends_with("http://") || before.ends_with("https://");
    let Some((credentials, host)) = after.rsplit_once('@') else { return before + &after };
    match credentials.split_once(':') {
        // A colon behind the first slash is part of the path.
        Some((user, password)) if !user.contains('/') && !is_port(password) => {
            format!("{before}{user}:{MASK}@{host}")
        }
        // A token alone, as hosts of repositories take it.
        None if scheme_is_web && !credentials.contains('/') => format!("{before}{MASK}@{host}"),
        _ => before + &after,
    }
}

/// True for `8080/path`: a port, and an `@` somewhere behind it.
fn is_port(password: &str) -> bool {
    let (port, path) = password.split_once('/').unwrap_or((password, ""));
    !path.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Hides the values of secret parameters in a query or a fragment.
fn parameters(text: &str) -> String {
    let mut hidden = String::with_capacity(text.len());
    for (index, part) in text.split_inclusive(['?', '&', '#', ';']).enumerate() {
        let (body, end) = match part.char_indices().next_back() {
            Some((at, '?' | '&' | '#' | ';')) => part.split_at(at),
            _ => (part, ""),
        };
        match body.split_once('=') {
            Some((name, _)) if index > 0 && is_secret(name) => hidden += &format!("{name}={MASK}{end}"),
            _ => hidden += part,
        }
    }
    hidden
}

/// The end of the last word is missing: with it the `@` behind a password may be.
fn hide_cut_end(arg: &mut String) {
    let start = arg.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    if arg.get(start..).is_some_and(|word| word.contains(':')) {
        arg.truncate(start);
        arg.push_str(MASK);
    }
}

#[cfg(test)]
mod tests;
