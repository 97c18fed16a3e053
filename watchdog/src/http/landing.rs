//! The page at `/`.

/// Where to go from here.
pub(super) const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>state-watchdog</title><link rel="icon" href="data:,"></head>
<body>
<h1>state-watchdog</h1>
<p>Finds non-atomic writes of container state files and the reads that overlap them.</p>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus</li>
<li><a href="/findings?limit=20">/findings?limit=20</a>: the last findings, newest first</li>
<li><a href="/status">/status</a>: source, probes, roots, losses</li>
<li><a href="/livez">/livez</a>, <a href="/readyz">/readyz</a>: for probes</li>
</ul>
</body>
</html>
"#;
