use super::*;
#[cfg(feature = "ebpf")]
use crate::agent::Refusal;
use crate::cli::{RunArgs, SourceChoice};
use crate::source::inotify::Limits;

fn config(host: &std::path::Path, source: SourceChoice) -> Config {
    let args = RunArgs {
        roots: vec!["runc=/run/runc".to_owned(), "youki=/run/youki".to_owned()],
        source: Some(source),
        host_root: Some(host.to_owned()),
        ..RunArgs::default()
    };
    Config::resolve(&args, None).unwrap()
}

fn works(_: SourceKind) -> Trial {
    let probe = ProbeStatus { probe: "read", mechanism: "fentry", attached: true, reason: None };
    Trial { probes: vec![probe], refused: None }
}

#[cfg(feature = "ebpf")]
fn fails(permission: bool) -> impl Fn(SourceKind) -> Trial {
    move |_| Trial {
        probes: Vec::new(),
        refused: Some(Refusal { error: "attaching: not permitted".to_owned(), permission }),
    }
}

#[test]
fn a_source_that_cannot_run_is_a_no_with_its_reason_and_remedy() {
    let host = tempfile::tempdir().unwrap();
    let container = host.path().join("run/youki/abc");
    std::fs::create_dir_all(&container).unwrap();
    std::fs::write(container.join("state.json"), "{").unwrap();
    let capabilities = Capabilities { btf: Fact::No, ..Capabilities::all() };
    let report = examine_with(&config(host.path(), SourceChoice::Vfs), &capabilities, works);
    assert_eq!(report.exit(), Exit::Unavailable);
    let text = report.to_text();
    assert!(text.contains("        remedy: ") && text.contains("no source can run"), "{text}");
    assert!(text.contains("--  runc        /run/runc") && text.contains("ok  youki"), "{text}");
    assert!(text.contains("/run/youki: 1 state files, 1 damaged"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["sources"][0]["can_run"], false);
    assert_eq!(json["roots"][1]["present"], true);
    assert_eq!(json["roots"][1]["directories"][0]["state_files"], 1);
    assert_eq!(json["inotify"]["directories"], 2);
}

#[cfg(feature = "ebpf")]
#[test]
fn the_first_source_that_can_be_attached_is_taken_and_its_probes_are_told() {
    let host = tempfile::tempdir().unwrap();
    let mut tried = Vec::new();
    let report = examine_with(&config(host.path(), SourceChoice::Auto), &Capabilities::all(), |kind| {
        tried.push(kind);
        if kind == SourceKind::Vfs { fails(true)(kind) } else { works(kind) }
    });
    assert_eq!(tried, [SourceKind::Vfs, SourceKind::Syscalls]);
    assert_eq!((report.exit(), report.takes), (Exit::Fine, Some("syscalls")));
    let text = report.to_text();
    for line in [
        "  --  vfs\n        attaching: not permitted\n        remedy: ",
        "  ok  syscalls\n        ok  probe read by fentry\n        blind to ",
        "run takes the source syscalls\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[cfg(feature = "ebpf")]
#[test]
fn a_missing_permission_is_told_from_what_cannot_be() {
    let host = tempfile::tempdir().unwrap();
    let config = config(host.path(), SourceChoice::Vfs);
    assert_eq!(examine_with(&config, &Capabilities::all(), fails(true)).exit(), Exit::Permission);
    assert_eq!(examine_with(&config, &Capabilities::all(), fails(false)).exit(), Exit::Unavailable);
    let bare = Capabilities { effective: 0, ..Capabilities::all() };
    let report = examine_with(&config, &bare, works);
    assert_eq!(report.exit(), Exit::Permission);
    let text = report.to_text();
    assert!(text.contains("--  CAP_BPF\n        to load the probes"), "{text}");
    assert!(text.contains("CAP_BPF and CAP_PERFMON missing"), "{text}");
}

#[test]
fn limits_are_held_against_what_is_there() {
    let view = |watches, directories| {
        let limits = Limits { max_user_watches: watches, ..Limits::default() };
        let view = InotifyView::of(limits, directories);
        (view.enough, view.remedy)
    };
    assert_eq!(view(Some(8192), 4096), (Fact::Yes, None));
    let remedy = "sysctl -w fs.inotify.max_user_watches=65536".to_owned();
    assert_eq!(view(Some(8192), 10_000), (Fact::No, Some(remedy)));
    assert_eq!(view(None, 10), (Fact::Unknown, None));
}

#[test]
fn inotify_says_what_it_cannot_tell_and_its_limits() {
    let host = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(host.path().join("proc/sys/fs/inotify")).unwrap();
    std::fs::write(host.path().join("proc/sys/fs/inotify/max_user_watches"), "8192\n").unwrap();
    let report = examine(&config(host.path(), SourceChoice::Inotify));
    assert_eq!(report.exit(), Exit::Fine);
    let text = report.to_text();
    for line in [
        "run takes the source inotify",
        "blind to who did it: attribution is `none`",
        "ok  fs.inotify.max_user_watches 8192, 0 taken now",
        "??  fs.inotify.max_queued_events unknown",
        "--  the host's processes can be looked up",
        "remedy: mount the host's /proc below the host root",
        "no runtime is here yet",
        "ok  probe queue by inotify",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
