//! Which names say that what follows is a secret.

/// Anywhere in a name, whatever stands around them.
const PARTS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "connectionstring",
    "authorization",
    "cookie",
    "bearer",
];
/// As a word of a name: `--tls-key`, `dbPass`, `X-Auth`.
const WORDS: [&str; 15] = [
    "key", "keys", "pass", "pwd", "pw", "pin", "psk", "auth", "cred", "creds", "sas", "dsn", "jwt", "otp",
    "salt",
];
/// A name that ends in one of these tells where a secret lies, and not the secret.
const PLACES: [&str; 8] = ["file", "files", "path", "dir", "directory", "folder", "stdin", "env"];

/// True if the value of an option with this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let words = words(name);
    if words.last().is_some_and(|last| PLACES.contains(&last.as_str())) {
        return false;
    }
    let joined = words.concat();
    PARTS.iter().any(|part| joined.contains(part))
        || words.iter().any(|word| WORDS.contains(&word.as_str()))
        || ["key", "pass", "pwd"].iter().any(|end| joined.ends_with(end))
}

/// True if `NAME: value` is a secret. Narrower than [`is_secret`]: a colon also stands in names of images and volumes.
pub(super) fn is_secret_key(name: &str) -> bool {
    words(name).last().is_some_and(|last| is_secret(last)) && is_secret(name)
}

/// `apiKey`, `api-key` and `API_KEY` are the words `api` and `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_is_lower = false;
    for c in name.chars() {
        let starts = c.is_uppercase() && before_is_lower;
        if !c.is_alphanumeric() || starts {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before_is_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_however_they_are_written() {
        for name in [
            "password",
            "PASSWORD",
            "db-password",
            "dbPassword",
            "passwd",
            "pass",
            "dbpass",
            "pwd",
            "api-key",
            "apiKey",
            "API_KEY",
            "apikey",
            "token",
            "auth-token",
            "tokens",
            "secret",
            "client.secret",
            "key",
            "tls-key",
            "sshkey",
            "aws_secret_access_key",
            "credentials",
            "authorization",
            "x-api-key",
            "passphrase",
            "bearer-token",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "",
            "root",
            "log-format",
            "pid-file",
            "bundle",
            "password-file",
            "tokenPath",
            "password-stdin",
            "keyboard",
            "keyring",
            "process",
            "detach",
            "monkeys",
            "passive",
            "compass-north",
            "authorize",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(is_secret_key("X-Api-Key") && is_secret_key("password"));
        assert!(!is_secret_key("secret-operator") && !is_secret_key("host"));
    }
}
