use super::*;
use crate::source::{Depths, NamePattern, Shape};

fn file(text: &str) -> Result<Config, String> {
    let path = Path::new("/etc/sw.toml");
    Config::resolve(&RunArgs::default(), Some((path, text))).map_err(|error| error.to_string())
}

fn typed(roots: &[&str]) -> Result<Config, String> {
    let roots = roots.iter().map(|root| (*root).to_owned()).collect();
    Config::resolve(&RunArgs { roots, ..RunArgs::default() }, None).map_err(|error| error.to_string())
}

/// The file is refused with exactly this message.
#[track_caller]
fn refused(text: &str, message: &str) {
    assert_eq!(file(text).unwrap_err(), message);
}

#[test]
fn nothing_given_means_the_builtin_roots() {
    let config = file("").unwrap();
    assert_eq!(config.listen, DEFAULT_LISTEN);
    assert_eq!(config.source, SourceChoice::Auto);
    let runtimes: Vec<_> = config.runtimes().iter().map(ToString::to_string).collect();
    assert_eq!(
        runtimes,
        [
            "runc",
            "containerd",
            "docker",
            "crio",
            "crun",
            "youki",
            "runwasi",
            "urunc",
            "kata",
            "kata-go",
            "runsc",
            "sysbox",
            "quark",
            "containerd-cri",
            "kubelet",
        ]
    );
}

#[test]
fn a_typed_root_replaces_all_others() {
    let config = typed(&["youki=/tmp//y/"]).unwrap();
    assert_eq!(config.roots.len(), 1);
    assert_eq!(config.roots[0].pattern, "/tmp/y");
    assert_eq!(&*config.roots[0].profile.name, "youki");
    assert_eq!(config.roots[0].profile.depths, Depths::only(1));
}

#[test]
fn an_unknown_runtime_gets_the_default_profile() {
    let config = typed(&["mine=/r/*"]).unwrap();
    assert_eq!(*config.roots[0].profile, Profile::unknown("mine"));
}

#[test]
fn what_was_typed_wins_over_the_file() {
    let args = RunArgs { listen: Some("127.0.0.1:1".parse().unwrap()), ..RunArgs::default() };
    let text = "listen = \"127.0.0.1:2\"\nsource = \"syscalls\"\n";
    let config = Config::resolve(&args, Some((Path::new("f"), text))).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.source, SourceChoice::Syscalls);
}

#[test]
fn a_rendered_configuration_resolves_to_itself() {
    let config = file("[[root]]\nruntime = \"runc\"\npath = \"/run/containerd/runc/*\"\n").unwrap();
    let again = file(&config.to_toml()).unwrap();
    assert_eq!(config, again);
    assert_eq!(config.hash(), again.hash());
    assert_ne!(config.hash(), file("").unwrap().hash());
}

#[test]
fn the_witness_is_there_unless_it_is_sent_away() {
    assert!(file("").unwrap().witness);
    assert!(!file("witness = false\n").unwrap().witness);
    let args = RunArgs { no_witness: true, ..RunArgs::default() };
    assert!(!Config::resolve(&args, Some((Path::new("f"), "witness = true\n"))).unwrap().witness);
}

#[test]
fn an_unknown_key_is_refused() {
    refused(
        "source = \"auto\"\nlisen = \"x\"\n",
        "/etc/sw.toml:2: unknown field `lisen`, expected one of `source`, `witness`, `listen`, `web-config`, `findings`, \
         `arguments`, `log-format`, `host-root`, `root`, `profile`",
    );
}

#[test]
fn an_unknown_source_is_refused() {
    refused(
        "source = \"ptrace\"\n",
        "/etc/sw.toml:1: unknown variant `ptrace`, expected one of `auto`, `vfs`, `syscalls`, `inotify`",
    );
}

#[test]
fn a_nonsense_port_is_refused() {
    refused(
        "\nlisten = \"127.0.0.1:99999\"\n",
        "/etc/sw.toml:2: listen = \"127.0.0.1:99999\": expected ADDR:PORT, localhost:PORT or :PORT with a port of 0 to 65535",
    );
}

#[test]
fn a_relative_root_is_refused() {
    refused(
        "[[root]]\nruntime = \"runc\"\npath = \"run/runc\"\n",
        "/etc/sw.toml:3: root \"run/runc\" is relative, expected an absolute path",
    );
    assert_eq!(typed(&["runc=x"]).unwrap_err(), "root \"x\" is relative, expected an absolute path");
}

#[test]
fn a_root_given_twice_is_refused() {
    assert_eq!(typed(&["runc=/a", "youki=/a/"]).unwrap_err(), "root \"/a\" is given twice");
}

#[test]
fn roots_that_are_no_paths_are_refused() {
    for (root, why) in [
        ("runc", "expected RUNTIME=PATH"),
        ("=/a", "expected 1 to 32 letters"),
        ("a b=/a", "expected 1 to 32 letters"),
        ("runc=/", "the whole file system"),
        ("runc=/a/../b", "holds `..`"),
        ("runc=/a*", "whole component"),
        ("runc=/a/*/b/*", "at most one"),
        ("runc=/*", "first component"),
        ("runc=/a\nb", "control characters"),
    ] {
        let message = typed(&[root]).unwrap_err();
        assert!(message.contains(why), "{root}: {message}");
    }
}

#[test]
fn a_relative_host_root_is_refused() {
    refused(
        "host-root = \"host\"\n",
        "/etc/sw.toml:1: host root \"host\" is relative, expected an absolute path",
    );
}

#[test]
fn profiles_beyond_the_probes_table_are_refused() {
    for (text, why) in [
        ("name = \"x\"\nstate = []\n", "`state` names no file"),
        ("name = \"x\"\ndepth = 3\nstate = [\"a\"]\n", "depth = [3], expected 0 to 2"),
        ("name = \"x\"\ndepth = -1\nstate = [\"a\"]\n", "expected 0 to 2, or a list of these"),
        ("name = \"x\"\ndepth = []\nstate = [\"a\"]\n", "depth = [], expected 0 to 2"),
        ("name = \"runc\"\ncontent = \"yaml\"\n", "unknown variant `yaml`, expected `json` or `none`"),
        (
            "name = \"runc\"\nroots = [\"run/x\"]\n",
            "/etc/sw.toml:3: profile \"runc\": root \"run/x\" is relative",
        ),
        ("name = \"x\"\ncontainer-level = 1\nstate = [\"a\"]\n", "container-level = 1"),
        ("name = \"x\"\nstate = [\"a*b\"]\n", "one `*` at its beginning or end"),
        ("name = \"x\"\nstate = [\"*\"]\n", "expected 1 to 32 bytes"),
        (
            &format!("name = \"x\"\nstate = {:?}\n", ['a'; 33].map(|c| c.to_string())),
            "33 names, expected at most 32",
        ),
    ] {
        let message = file(&format!("[[profile]]\n{text}")).unwrap_err();
        assert!(message.starts_with("/etc/sw.toml:") && message.contains(why), "{text}: {message}");
    }
}

#[test]
fn more_names_than_the_probes_compare_are_refused() {
    let profile = |i| {
        let names: Vec<_> = (0..17).map(|n| format!("\"{i}-{n}\"")).collect();
        let names = names.join(",");
        format!("[[profile]]\nname = \"p{i}\"\nroots = [\"/p{i}\"]\nstate = [{names}]\n")
    };
    refused(
        &(profile(1) + &profile(2)),
        "/etc/sw.toml: 48 different names of state and lock files, expected at most 32",
    );
}

#[test]
fn a_known_profile_keeps_what_the_file_does_not_say() {
    let config = file("[[profile]]\nname = \"runc\"\nroots = [\"/srv/runc\"]\n").unwrap();
    let runc = &config.roots[0];
    assert_eq!((&*runc.profile.name, &*runc.pattern), ("runc", "/srv/runc"));
    assert!(runc.profile.names.contains(&NamePattern {
        role: Role::Temporary,
        shape: Shape::Prefix,
        text: "state-".to_owned()
    }));
    assert_eq!(config.runtimes().len(), file("").unwrap().runtimes().len());
}

#[test]
fn profiles_are_watched_or_not_as_the_file_says() {
    let text =
        "[[profile]]\nname = \"runc\"\nwatched = false\n[[profile]]\nname = \"dockerd\"\nwatched = true\n";
    let runtimes = file(text).unwrap().runtimes();
    assert!(runtimes.iter().all(|name| &**name != "runc"));
    assert_eq!(runtimes.last().map(|name| &**name), Some("dockerd"));
}

#[test]
fn a_file_that_leaves_nothing_to_watch_is_refused() {
    let off = crate::profile::builtin();
    let off = off.iter().map(|p| format!("[[profile]]\nname = \"{}\"\nwatched = false\n", p.name));
    refused(
        &off.collect::<String>(),
        "/etc/sw.toml: no root is left to watch: every profile has `watched = false`",
    );
}

#[test]
fn every_builtin_profile_survives_being_printed() {
    let all = crate::profile::builtin();
    let all = all.iter().map(|p| format!("[[profile]]\nname = \"{}\"\nwatched = true\n", p.name));
    let config = file(&all.collect::<String>()).unwrap();
    assert_eq!(config.runtimes().len(), crate::profile::BUILTIN.len());
    assert_eq!(file(&config.to_toml()).unwrap(), config);
}

#[test]
fn an_unknown_key_of_a_profile_is_refused() {
    refused(
        "[[profile]]\nname = \"runc\"\nfile = \"x\"\n",
        "/etc/sw.toml:3: unknown field `file`, expected one of `name`, `watched`, `roots`, `depth`, `container-level`, \
         `container-until`, `state`, `temporary`, `lock`, `content`",
    );
}

#[test]
fn a_missing_file_is_named() {
    let args = RunArgs { config: Some("/nonexistent/sw.toml".into()), ..RunArgs::default() };
    let message = Config::load(&args).unwrap_err().to_string();
    assert_eq!(message, "/nonexistent/sw.toml: cannot read the configuration file");
}
