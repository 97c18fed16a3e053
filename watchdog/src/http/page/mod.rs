//! The page for people at `/`: rendered here, without scripts, bounded in size.

mod findings;
mod html;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use data_encoding::BASE64;

use super::Status;
use crate::health::Readiness;
use html::Html;

/// Its looks. The policy names it by its hash, so no other style can come in.
const STYLE: &str = include_str!("style.css");
/// A word of somebody else is cut after so many characters; `/status` has the whole.
const WORD: usize = 300;
/// At most so many rows of each table but the findings'.
const ROWS: usize = 100;

/// What a browser may do with the page: show it.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64.encode(ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes()).as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// What is shown.
pub(super) struct View<'a> {
    pub(super) status: &'a Status,
    /// As JSON, newest first.
    pub(super) findings: &'a [Arc<str>],
    /// How many are kept in all.
    pub(super) kept: usize,
    /// The page asks for itself again after so many seconds.
    pub(super) refresh: Option<u16>,
}

/// The page.
pub(super) fn render(view: &View<'_>) -> String {
    let mut html = Html::default();
    head(&mut html, view);
    html.raw("<main>");
    findings::write(&mut html, view);
    source(&mut html, view.status);
    probes(&mut html, view.status);
    roots(&mut html, view.status);
    losses(&mut html, view.status);
    html.raw("</main><footer class=\"soft\"><p>state-watchdog ").text(view.status.version, WORD);
    html.raw(", configuration <code>")
        .text(&view.status.configuration_hash, WORD)
        .raw("</code></p>\
         <p>For probes: <a href=\"/livez\">/livez</a>, <a href=\"/readyz\">/readyz</a>.</p></footer></body></html>\n");
    html.finish()
}

fn head(html: &mut Html, view: &View<'_>) {
    html.raw(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>state-watchdog</title>",
    );
    html.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"icon\" href=\"data:,\">");
    if let Some(seconds) = view.refresh {
        html.raw("<meta http-equiv=\"refresh\" content=\"").text(&seconds.to_string(), WORD).raw("\">");
    }
    html.raw("<style>").raw(STYLE).raw("</style></head><body><header><h1>state-watchdog</h1>");
    html.raw(match view.status.readiness {
        Readiness::Ready => "<span class=\"badge good\">ready</span>",
        Readiness::Degraded => "<span class=\"badge fair\">degraded</span>",
        Readiness::NotReady => "<span class=\"badge bad\">not ready</span>",
    });
    html.raw(
        "<p class=\"soft\">Non-atomic writes of container state files, and the reads that overlap them.</p>",
    );
    html.raw("<nav><a href=\"/findings?limit=100\">Findings (JSON)</a><a href=\"/status\">Status (JSON)</a>");
    html.raw("<a href=\"/metrics\">Metrics</a>");
    html.raw(match view.refresh {
        None => "<a href=\"/?refresh=10\">Refresh every 10 s</a>",
        Some(_) => "<a href=\"/\">Stop refreshing</a>",
    });
    html.raw("</nav></header>");
}

fn source(html: &mut Html, status: &Status) {
    html.raw("<section aria-labelledby=\"source\"><h2 id=\"source\">Source</h2><dl>");
    let mut row = |name: &'static str, text: &str| {
        html.raw("<dt>").raw(name).raw("</dt><dd>").text(text, 4 * WORD).raw("</dd>");
    };
    row("Runs", status.source.unwrap_or("none"));
    for (source, why) in &status.refused_sources {
        row("Not", &format!("{source}: {why}"));
    }
    for spot in status.blind_spots {
        row("Cannot tell", &format!("{}: {}", spot.what, spot.effect));
    }
    let proof = &status.proof_of_life;
    let missing = proof.missing.join(", ");
    let parts =
        [Some(proof.verdict), proof.reason.as_deref(), Some(missing.as_str()).filter(|m| !m.is_empty())];
    row("Proof of life", &parts.into_iter().flatten().collect::<Vec<_>>().join(": "));
    let held = &status.capabilities.held;
    row("Capabilities", &if held.is_empty() { "none".to_owned() } else { held.join(", ") });
    html.raw("</dl></section>");
}

fn probes(html: &mut Html, status: &Status) {
    html.raw("<section aria-labelledby=\"probes\"><h2 id=\"probes\">Probes</h2>");
    if status.probes.is_empty() {
        html.raw("<p>None.</p></section>");
        return;
    }
    html.raw("<table><thead><tr><th scope=\"col\">Probe<th scope=\"col\">Mechanism<th scope=\"col\">State</tr></thead><tbody>");
    for probe in status.probes.iter().take(ROWS) {
        html.element("<tr><th scope=\"row\" data-is=\"probe\">", probe.probe, WORD, "</th>");
        html.element("<td data-is=\"mechanism\">", probe.mechanism, WORD, "</td><td data-is=\"state\">");
        html.raw(if probe.attached { "attached" } else { "not attached" });
        if let Some(reason) = &probe.reason {
            html.raw(": ").text(reason, WORD);
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></section>");
}

fn roots(html: &mut Html, status: &Status) {
    html.raw("<section aria-labelledby=\"roots\"><h2 id=\"roots\">Roots</h2>");
    html.raw("<table><thead><tr><th scope=\"col\">Runtime<th scope=\"col\">Root<th scope=\"col\">Directories now</tr></thead><tbody>");
    for root in status.roots.iter().take(ROWS) {
        html.element("<tr><th scope=\"row\" data-is=\"runtime\">", &root.runtime, WORD, "</th>");
        html.element(
            "<td data-is=\"root\"><code>",
            &root.root,
            WORD,
            "</code></td><td data-is=\"directories\">",
        );
        match root.directories.as_slice() {
            [] => html.raw("absent"),
            [one] if *one == root.root => html.raw("present"),
            many => html.text(&many[..many.len().min(8)].join(", "), 4 * WORD),
        };
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></section>");
}

fn losses(html: &mut Html, status: &Status) {
    html.raw("<section aria-labelledby=\"losses\"><h2 id=\"losses\">Lost events</h2>");
    let mut lost = status.losses.iter().filter(|(_, count)| **count > 0).peekable();
    if lost.peek().is_none() {
        html.raw("<p>None.</p></section>");
        return;
    }
    html.raw("<p>What was lost is not judged: sessions that it touches are <code>unknown</code>.</p>");
    html.raw("<table><thead><tr><th scope=\"col\">Reason<th scope=\"col\">Events</tr></thead><tbody>");
    for (reason, count) in lost.take(ROWS) {
        html.element("<tr><th scope=\"row\" data-is=\"reason\">", reason, WORD, "</th>");
        html.element("<td class=\"number\" data-is=\"events\">", &count.to_string(), WORD, "</td></tr>");
    }
    html.raw("</tbody></table></section>");
}
