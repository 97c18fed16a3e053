//! What rules cost the Prometheus that evaluates them: it is asked for each as it asks itself, with its own statistics.

use std::time::Duration;

use anyhow::{Context as _, Result};
use promql_parser::{
    parser::{Expr, MatrixSelector, parse},
    util::{ExprVisitor, walk_expr},
};
use serde_json::Value;

use crate::prometheus::Prometheus;

/// How often the chart's PodMonitor has a node scraped, in seconds.
pub(super) const INTERVAL: u32 = 30;
/// Each rule is asked for so often, and the quickest answer counts.
const ASKED: usize = 3;
/// How often rules write, in seconds.
const EVALUATION: u32 = 60;

/// What the rules of a group cost at each evaluation.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) rules: usize,
    /// Samples that are read.
    pub(super) read: f64,
    /// Those that will be read beside them when their windows are full.
    pub(super) lacking: f64,
    /// Series that are written.
    pub(super) written: f64,
    pub(super) milliseconds: f64,
}

/// All groups, by name.
pub(super) fn groups(server: &Prometheus) -> Result<Vec<(String, Load)>> {
    let rules = server.get("/api/v1/rules", &[])?;
    let mut groups = Vec::new();
    for group in rules["data"]["groups"].as_array().context("the server has no rules")? {
        let mut sum = Load::default();
        for rule in group["rules"].as_array().into_iter().flatten() {
            add(&mut sum, server, rule).with_context(|| format!("the rule {}", rule["name"]))?;
        }
        groups.push((group["name"].as_str().unwrap_or_default().to_owned(), sum));
    }
    Ok(groups)
}

fn add(sum: &mut Load, server: &Prometheus, rule: &Value) -> Result<()> {
    let expression = rule["query"].as_str().context("it has no expression")?;
    let mut best = f64::INFINITY;
    let (mut read, mut found) = (0.0, 0);
    for _ in 0..ASKED {
        let answer = server.get("/api/v1/query", &[("query", expression), ("stats", "all")])?;
        let data = &answer["data"];
        let number = |value: &Value| value.as_f64().context("Prometheus tells no statistics");
        read = number(&data["stats"]["samples"]["totalQueryableSamples"])?;
        best = best.min(number(&data["stats"]["timings"]["execTotalTime"])? * 1e3);
        found = data["result"].as_array().map_or(0, Vec::len);
    }
    sum.rules += 1;
    sum.read += read;
    sum.milliseconds += best;
    // An alert that holds is written twice: that it does, and since when.
    sum.written += if rule["type"] == "alerting" { 2.0 } else { 1.0 } * found as f64;
    for (selector, step, range) in windows(expression)? {
        let ask = |how: &str| number(server, &format!("{how}(count_over_time({selector}))"));
        let full = ask("count")? * range.as_secs_f64() / f64::from(step);
        sum.lacking += (full - ask("sum")?).max(0.0);
    }
    Ok(())
}

/// What a query comes to; nothing counts as 0.
fn number(server: &Prometheus, query: &str) -> Result<f64> {
    let answer = server.query(query)?;
    let value = answer.series.first().and_then(|series| series["value"][1].as_str());
    value.map_or(Ok(0.0), |value| value.parse().with_context(|| format!("{value} is no number")))
}

/// The selectors with a window in an expression, without their offset, how many seconds lie between two samples there,
/// and how long the window is.
fn windows(expression: &str) -> Result<Vec<(String, u32, Duration)>> {
    struct Found(Vec<(String, u32, Duration)>);
    impl ExprVisitor for Found {
        type Error = std::convert::Infallible;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
            if let Expr::MatrixSelector(MatrixSelector { vs, range }) = expression {
                let mut vs = vs.clone();
                vs.offset = None;
                // Recorded names, and they alone, have colons.
                let recorded = vs.name.as_ref().is_some_and(|name| name.contains(':'));
                let step = if recorded { EVALUATION } else { INTERVAL };
                self.0.push((MatrixSelector { vs, range: *range }.to_string(), step, *range));
            }
            Ok(true)
        }
    }
    let parsed = parse(expression).map_err(anyhow::Error::msg)?;
    let mut found = Found(Vec::new());
    let Ok(_) = walk_expr(&mut found, &parsed);
    Ok(found.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_found_wherever_they_stand() {
        let found = windows("sum(rate(a{x=\"1\"}[5m])) / on () (b:c[1h] offset 1h)").map(|all| all.len());
        // A window alone is no operand.
        assert!(found.is_err());
        let found = windows("sum(rate(a{x=\"1\"}[5m])) / max(max_over_time(b:c[1h] offset 1h))").unwrap();
        let minutes = |number: u64| Duration::from_secs(number * 60);
        assert_eq!(
            found,
            [
                ("a{x=\"1\"}[5m]".to_owned(), INTERVAL, minutes(5)),
                ("b:c[1h]".to_owned(), EVALUATION, minutes(60)),
            ]
        );
    }
}
