//! The table of findings.

use serde_json::Value;

use super::html::Html;
use super::{View, WORD};
use crate::health::Readiness;

/// The table ends when the page has so many bytes; what is left out is said.
const MAX_BYTES: usize = 256 << 10;
/// The whole of a finding is cut after so many characters.
const WHOLE: usize = 4_000;
/// An id is cut after so many characters: those of containers have 64.
const ID: usize = 80;
/// So many ancestors of a process are named.
const ANCESTORS: usize = 4;

pub(super) fn write(html: &mut Html, view: &View<'_>) {
    html.raw("<section aria-labelledby=\"findings\"><h2 id=\"findings\">Findings</h2>");
    if view.findings.is_empty() {
        html.raw(match view.status.readiness {
            Readiness::NotReady => "<p>None, but nothing is watched: the agent is not ready.</p>",
            Readiness::Degraded => "<p>None so far. Some operations are not seen; see the probes below.</p>",
            Readiness::Ready => "<p>None so far: no unsafe write and no overlapping read was seen.</p>",
        });
        html.raw("</section>");
        return;
    }
    html.raw("<table><caption>The last ").text(&view.findings.len().to_string(), WORD);
    html.raw(" of ")
        .text(&view.kept.to_string(), WORD)
        .raw(" that are kept, newest first. Times are UTC.</caption><thead><tr>");
    html.raw(
        "<th scope=\"col\" class=\"time\">Time<th scope=\"col\" class=\"kind\">Finding<th scope=\"col\" class=\"runtime\">Runtime<th scope=\"col\" class=\"container\">Container",
    );
    html.raw(
        "<th scope=\"col\" class=\"who\">Writer<th scope=\"col\" class=\"who\">Reader<th scope=\"col\">What happened</tr></thead><tbody>",
    );
    let mut shown = 0;
    for json in view.findings {
        if html.len() > MAX_BYTES {
            break;
        }
        // What the agent itself wrote is JSON.
        if let Ok(finding) = serde_json::from_str(json) {
            row(html, &finding);
        }
        shown += 1;
    }
    html.raw("</tbody></table>");
    if shown < view.findings.len() {
        html.raw("<p>Older ones are left out here; <a href=\"/findings?limit=500\">all as JSON</a>.</p>");
    }
    html.raw("</section>");
}

fn row(html: &mut Html, finding: &Value) {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    let time = text("time");
    html.raw("<tr><th scope=\"row\"><time datetime=\"").text(time, WORD).raw("\">");
    html.text(&short(time), WORD).raw("</time></th><td>");
    html.raw(match text("kind") {
        "torn_read" | "damaged_state_file" => "<span class=\"badge bad\">",
        "nonatomic_write" | "overlapping_read" => "<span class=\"badge fair\">",
        _ => "<span class=\"badge\">",
    });
    html.text(&text("kind").replace('_', " "), WORD).raw("</span>");
    if let Some(outcome) = finding["outcome"].as_str() {
        html.element(" <span class=\"soft\">", &outcome.replace('_', " "), WORD, "</span>");
    }
    html.element("</td><td data-is=\"runtime\">", text("runtime"), WORD, "</td><td data-is=\"container\">");
    html.element("<code>", text("container_id"), ID, "</code>");
    pod(html, &finding["pod"]);
    html.raw("</td>");
    process(html, "<td data-is=\"writer\">", &finding["writer"]);
    process(html, "<td data-is=\"reader\">", &finding["reader"]);
    html.element(
        "<td data-is=\"what happened\">",
        text("message"),
        2 * WORD,
        "<details><summary>Details</summary><pre>",
    );
    let whole = serde_json::to_string_pretty(finding).unwrap_or_default();
    html.text(&whole, WHOLE).raw("</pre></details></td></tr>");
}

fn pod(html: &mut Html, pod: &Value) {
    if let (Some(namespace), Some(name)) = (pod["namespace"].as_str(), pod["name"].as_str()) {
        html.raw("<br>").text(&format!("{namespace}/{name}"), WORD);
    }
    if let Some(container) = pod["container"].as_str() {
        html.element(" <span class=\"soft\">", container, WORD, "</span>");
    }
}

/// A process and who made it run.
fn process(html: &mut Html, cell: &'static str, process: &Value) {
    html.raw(cell);
    if let Some(comm) = process["comm"].as_str() {
        html.element("<code>", comm, WORD, "</code>");
        if let Some(pid) = process["pid"].as_u64() {
            html.element(" <span class=\"soft number\">", &pid.to_string(), WORD, "</span>");
        }
        let ancestors = process["ancestors"].as_array().map(Vec::as_slice).unwrap_or_default();
        for ancestor in ancestors.iter().take(ANCESTORS) {
            html.element(
                "<br><span class=\"soft\">← ",
                ancestor["comm"].as_str().unwrap_or_default(),
                WORD,
                "</span>",
            );
        }
    }
    html.raw("</td>");
}

/// `2026-11-27 10:17:40.123` of a time with nanoseconds.
fn short(time: &str) -> String {
    time.chars().take(23).map(|c| if c == 'T' { ' ' } else { c }).collect()
}
