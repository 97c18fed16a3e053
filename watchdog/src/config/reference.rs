//! The table of keys. `docs/CONFIGURATION.md` is written from it and from the table of profiles.

use std::fmt::Write as _;

use crate::model::Role;
use crate::profile::{BUILTIN, Profile, builtin};

/// One key of the file.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    kind: &'static str,
    default: &'static str,
    allowed: &'static str,
    example: &'static str,
    says: &'static str,
}

const fn key(
    name: &'static str,
    [kind, default, allowed]: [&'static str; 3],
    example: &'static str,
    says: &'static str,
) -> Key {
    Key { name, kind, default, allowed, example, says }
}

/// Keys that stand in the file itself.
pub const SETTINGS: &[Key] = &[
    key(
        "source",
        ["string", "`auto`", "`auto`, `vfs`, `syscalls`, `inotify`"],
        "source = \"syscalls\"",
        "Where events come from; `auto` takes the best that the machine allows. (`--source`)",
    ),
    key(
        "witness",
        ["boolean", "`true`", "`true`, `false`"],
        "witness = false",
        "The inotify watches beside an eBPF source cross-check it. (`--no-witness`)",
    ),
    key(
        "listen",
        [
            "string",
            "`127.0.0.1:9737`",
            "`ADDR:PORT`, `localhost:PORT` or `:PORT`, which is every address; port 0 to 65535; 0 is any free one",
        ],
        "listen = \"0.0.0.0:9737\"",
        "Where metrics, findings and status are served. (`--listen`)",
    ),
    key(
        "web-config",
        ["string", "none", "a path, relative to this file"],
        "web-config = \"web.yml\"",
        "TLS and passwords for what is served, in the format that Prometheus's exporters share: see [HTTP.md](HTTP.md). \
         Changes of that file need no SIGHUP. (`--web-config`)",
    ),
    key(
        "findings",
        ["string", "`json`", "`json`, `text`, `none`"],
        "findings = \"text\"",
        "How findings appear on standard output. (`--findings`)",
    ),
    key(
        "arguments",
        ["string", "`redacted`", "`full`, `redacted`, `none`"],
        "arguments = \"none\"",
        "How much of processes' arguments findings and recordings hold. `redacted` replaces values of `NAME=VALUE` words and of \
         options named like passwords, tokens, keys and secrets by `***`: see [FINDINGS.md](FINDINGS.md). (`--arguments`)",
    ),
    key(
        "log-format",
        ["string", "`text`", "`text`, `json`"],
        "log-format = \"json\"",
        "How logs appear on standard error. (`--log-format`)",
    ),
    key(
        "host-root",
        ["string", "`/`", "an absolute path"],
        "host-root = \"/host\"",
        "Where the host's file system is mounted: all roots lie below it. (`--host-root`)",
    ),
    key(
        "root",
        ["list of tables", "the roots of all profiles that are watched", "at most 64"],
        "[[root]]\nruntime = \"runc\"\npath = \"/run/runc\"",
        "What to watch. Where there is one, these alone are watched. (`--root`)",
    ),
    key(
        "profile",
        ["list of tables", "the built-in ones", "one for each name"],
        "[[profile]]\nname = \"runc\"\nroots = [\"/run/runc\", \"/srv/runc\"]",
        "What is known of a runtime: a new one, or changes to the profile of that name.",
    ),
];

/// Keys of `[[root]]`.
pub const ROOT: &[Key] = &[
    key(
        "runtime",
        ["string", "needed", "1 to 32 letters, digits, `-`, `_` or `.`"],
        "runtime = \"runc\"",
        "Which profile holds there, and the value of the label `runtime`. A name that no profile has gets the default \
         profile: `state.json`, one directory per container.",
    ),
    key(
        "path",
        ["string", "needed", "an absolute path; one whole component, not the first, may be `*`"],
        "path = \"/run/containerd/runc/*\"",
        "Where the runtime keeps its state, as the host names it. Directories that come later are found.",
    ),
];

/// Keys of `[[profile]]`.
pub const PROFILE: &[Key] = &[
    key(
        "name",
        ["string", "needed", "1 to 32 letters, digits, `-`, `_` or `.`"],
        "name = \"mine\"",
        "Which runtime. Of a known one, keys that are not given stay as they are.",
    ),
    key(
        "watched",
        ["boolean", "`true`", "`true`, `false`"],
        "watched = false",
        "Whether its `roots` are watched where no `[[root]]` is given.",
    ),
    key(
        "roots",
        ["list of strings", "none", "as `path` of `[[root]]`"],
        "roots = [\"/run/mine\", \"/run/mine-of/*\"]",
        "Where it usually keeps its state.",
    ),
    key(
        "depth",
        ["number, or list of numbers", "`1`", "0 to 2"],
        "depth = [1, 2]",
        "How many directories lie between the root and a state file.",
    ),
    key(
        "container-level",
        ["number", "`0`", "less than the greatest depth"],
        "container-level = 1",
        "Which of these directories is named after the container, counted from the root.",
    ),
    key(
        "container-until",
        ["string", "empty", "any"],
        "container-until = \"_sandbox:\"",
        "Where state files lie in the root itself: the container's id is the file's name up to this. Where it is empty, a \
         part of 64 hexadecimal digits is the id.",
    ),
    key(
        "state",
        ["list of strings", "needed", "names of 1 to 32 bytes; one `*` at the beginning or the end"],
        "state = [\"state.json\"]",
        "Names of state files. All state and lock names of what is watched: at most 32 different ones. A `*` at the \
         beginning costs a look at every opened file's name while such a root stands.",
    ),
    key(
        "temporary",
        ["list of strings", "none", "as `state`"],
        "temporary = [\"state-*\"]",
        "Names of files that are renamed over a state file. eBPF sources need none; inotify takes a rename from a name that \
         is not here for one from elsewhere.",
    ),
    key(
        "lock",
        ["list of strings", "none", "as `state`, or `@file`, `@directory`"],
        "lock = [\"*.lock\"]",
        "What is locked while a state file is written and read. A name is that of a file beside it: one with a `*` guards the \
         state file whose name the `*` tells (`a.lock` guards `a.state` of `*.state`, `state.json.lock` guards \
         `state.json`), one without guards all in its directory and below. `@file` is the state file itself, on which a lock \
         counts in any case. `@directory` is the directory right below the root, or the root itself at depth 0; it is seen \
         by flock(2).",
    ),
    key(
        "content",
        ["string", "`json`", "`json`, `none`"],
        "content = \"none\"",
        "What a state file holds. `none` is not judged: no aftermath, no damage.",
    ),
];

/// The reference page.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for (title, keys) in [("## Settings", SETTINGS), ("## `[[root]]`", ROOT), ("## `[[profile]]`", PROFILE)] {
        let _ =
            writeln!(page, "\n{title}\n\n| key | type | default | allowed | says |\n|---|---|---|---|---|");
        for Key { name, kind, default, allowed, says, .. } in keys {
            let _ = writeln!(page, "| `{name}` | {kind} | {default} | {allowed} | {says} |");
        }
        page.push_str("\nExamples:\n\n```toml\n");
        for key in keys {
            let _ = writeln!(page, "{}", key.example);
        }
        page.push_str("```\n");
    }
    page.push_str(PROFILES);
    for (row, profile) in BUILTIN.iter().zip(builtin()) {
        let _ = writeln!(page, "{}", line(row.note, &profile));
    }
    page
}

const INTRODUCTION: &str = "# Configuration

Written from the tables in `watchdog/src/config/reference.rs` and `watchdog/src/profile/builtin.rs`; `UPDATE_DOCS=1 cargo test -p watchdog
reference` writes it again.

`--config FILE` names a TOML file. What is typed wins over the file, the file over the defaults. `state-watchdog config` prints what comes out,
as a file that says the same. Anything that makes no sense is refused with the file, the line and what is allowed: exit code 64.

## Reading it again

At SIGHUP the agent reads the file again. Roots and profiles take effect at once: what stays configured is watched without a gap, the series of
new runtimes stand at 0, the counters of those that are gone stay as they are and their gauges go. `source`, `witness`, `listen`, `web-config`,
`findings`, `arguments`, `log-format` and `host-root` take effect with the next start; where they differ, the log and `/status` (`configuration_reload.needs_restart`)
name them. A file that is refused changes nothing: the log and `/status` say why, `state_watchdog_config_last_reload_successful` is 0 and
`state_watchdog_config_reloads_total{result=\"refused\"}` grows. `configuration_hash` in `/status` is that of what is in force.
";

const PROFILES: &str = "
## Built-in profiles

A root that does not exist is looked for ten times a second and costs nothing else: the probes know the names of those alone that stand, or stood since the start. All
state files hold JSON but where it says otherwise. apptainer has no profile, because its files lie in users' homes.

| runtime | watched | roots | depth | state files | temporary names | lock | notes |
|---|---|---|---|---|---|---|---|
";

fn line(note: &str, profile: &Profile) -> String {
    let list =
        |items: Vec<String>| items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ");
    let of = |role| {
        let names = profile.names.iter().filter(move |name| name.role == role);
        list(names.map(ToString::to_string).collect())
    };
    let depths = profile.depths.iter().map(|depth| depth.to_string()).collect::<Vec<_>>().join(", ");
    let lock = if profile.locks_directory { "`@directory`".to_owned() } else { of(Role::Lock) };
    let content = match profile.content {
        crate::profile::Content::Json => "",
        crate::profile::Content::None => " Content: `none`.",
    };
    format!(
        "| `{}` | {} | {} | {depths} | {} | {} | {lock} | {note}{content} |",
        profile.name,
        if profile.watched { "yes" } else { "no" },
        list(profile.roots.clone()),
        of(Role::State),
        of(Role::Temporary),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::RunArgs;
    use crate::config::Config;

    fn resolve(text: &str) -> Result<Config, String> {
        Config::resolve(&RunArgs::default(), Some((Path::new("f"), text))).map_err(|error| error.to_string())
    }

    /// The parser's own list, out of what it says of a key that nobody knows.
    fn known(before: &str) -> Vec<String> {
        let error = resolve(&format!("{before}nobody-knows = 1\n")).unwrap_err();
        let (_, list) = error.split_once("expected ").unwrap();
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_tables_hold_every_key_and_no_other() {
        for (before, keys) in [("", SETTINGS), ("[[root]]\n", ROOT), ("[[profile]]\n", PROFILE)] {
            let listed: Vec<_> = keys.iter().map(|key| key.name.to_owned()).collect();
            assert_eq!(known(before), listed);
        }
    }

    #[test]
    fn every_example_is_taken() {
        for key in SETTINGS {
            resolve(key.example).unwrap();
        }
        for (header, keys) in [("[[root]]\n", ROOT), ("[[profile]]\n", PROFILE)] {
            let lines: Vec<_> = keys.iter().map(|key| key.example).collect();
            resolve(&format!("{header}{}\n", lines.join("\n"))).unwrap();
        }
    }

    #[test]
    fn the_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(page, markdown(), "docs/CONFIGURATION.md is stale; UPDATE_DOCS=1 cargo test writes it");
    }
}
