use serde_json::json;

use super::*;
use crate::http::{ProbeView, RootView};

fn page(findings: &[serde_json::Value], change: impl FnOnce(&mut Status)) -> String {
    let mut status = Status::starting("cafe".to_owned());
    change(&mut status);
    let findings: Vec<Arc<str>> = findings.iter().map(|finding| finding.to_string().into()).collect();
    render(&View { status: &status, findings: &findings, kept: findings.len(), refresh: None })
}

/// The page without what is ours: a style and a policy have quotes and brackets of their own.
fn body(page: &str) -> &str {
    page.split_once("<main>").unwrap().1
}

fn hostile(name: &str) -> serde_json::Value {
    json!({
        "id": name, "time": name, "kind": name, "outcome": name, "runtime": name, "container_id": name,
        "message": name, "pod": {"namespace": name, "name": name, "container": name},
        "writer": {"comm": name, "pid": 1, "ancestors": [{"comm": name}]},
        "reader": {"comm": name, "args": [name]},
    })
}

#[test]
fn no_name_becomes_markup_or_stays_unseen() {
    for name in [
        "<script>document.title='x'</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='x",
        "</pre></details><h1>",
        "\u{1b}[2J\u{7}\0\r",
        "\u{202e}nosj.etats",
        "&lt;b&gt;",
    ] {
        let page = page(&[hostile(name)], |status| {
            status.refused_sources.insert("vfs", name.to_owned());
            status.proof_of_life.reason = Some(name.to_owned());
            status.probes.push(ProbeView {
                probe: "p",
                mechanism: "m",
                attached: false,
                reason: Some(name.to_owned()),
            });
            let root = name.to_owned();
            status.roots.push(RootView {
                runtime: root.clone(),
                root: root.clone(),
                directories: vec![root.clone(), root],
            });
        });
        assert!(!body(&page).contains(name), "{name:?} in {page}");
        for tag in ["<script", "<img", "<b>"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        assert!(!page.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{page:?}");
        assert_eq!(page.matches("<h1>").count(), 1);
    }
}

#[test]
fn what_was_found_is_there() {
    let finding = json!({
        "id": "1-2", "time": "2026-11-27T10:17:40.123456789Z", "kind": "torn_read", "verdict": "torn",
        "runtime": "youki", "container_id": "abc", "message": "runc read 0 bytes",
        "pod": {"namespace": "default", "name": "web-0", "container": "app"},
        "writer": {"comm": "youki", "pid": 12, "ancestors": [{"comm": "containerd-shim"}, {"comm": "systemd"}]},
        "reader": {"comm": "runc", "pid": 13, "ancestors": []},
    });
    let page = page(&[finding], |status| {
        status.readiness = Readiness::Ready;
        status.source = Some("syscalls");
        status.losses.insert("ring_full", 7);
    });
    for text in [
        "torn read",
        "youki",
        "abc",
        "default/web-0",
        "app",
        "← containerd-shim",
        "runc read 0 bytes",
        "syscalls",
        "2026-11-27 10:17:40.123<",
        "datetime=\"2026-11-27T10:17:40.123456789Z\"",
        "ring_full",
        ">7<",
        ">ready<",
        "&quot;verdict&quot;: &quot;torn&quot;",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(POLICY.contains("default-src 'none'") && POLICY.contains("'sha256-"), "{}", *POLICY);
}

#[test]
fn the_page_is_bounded() {
    let long = hostile(&"&".repeat(5_000));
    let findings = vec![long; 200];
    let size = page(&findings, |_| {}).len();
    assert!(size < 400 << 10, "{size}");
    let text = page(&findings, |_| {});
    assert!(text.contains("Older ones are left out"), "and says so");
}

#[test]
fn nothing_found_says_what_that_means() {
    let calm = page(&[], |status| status.readiness = Readiness::Ready);
    assert!(calm.contains("None so far: no unsafe write"), "{calm}");
    assert!(page(&[], |_| {}).contains("nothing is watched"));
}
