//! Every expression that we hand to Prometheus, parsed.

use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};

use super::super::{
    boards::dashboards,
    rules::{RECORDING_GROUPS, alerts},
};

/// What the dashboard's variables of time stand for while an expression is read; no expression says these by itself.
pub(super) const RATE_INTERVAL: u64 = 661;
const RANGE: u64 = 21_601;

/// An expression and where it stands.
pub(super) struct Placed {
    pub(super) place: String,
    pub(super) text: String,
    pub(super) expr: Expr,
}

/// Those of the recording rules, by what they record.
pub(super) fn recordings() -> Vec<(&'static str, Placed)> {
    let rules = RECORDING_GROUPS.iter().flat_map(|group| group.rules);
    rules.map(|rule| (rule.record, placed(rule.record.to_owned(), rule.expr))).collect()
}

/// Those of the panels.
pub(super) fn panels() -> Vec<Placed> {
    let mut found = Vec::new();
    for (_, dashboard) in dashboards() {
        for panel in &dashboard.panels {
            for target in &panel.targets {
                let place = format!("{}: {}: {}", dashboard.title, panel.title, target.ref_id);
                found.push(placed(place, &target.expr));
            }
        }
    }
    found
}

/// All of them.
pub(super) fn all() -> Vec<Placed> {
    let mut found: Vec<_> = recordings().into_iter().map(|(_, placed)| placed).collect();
    found.extend(alerts().map(|alert| placed(alert.name.to_owned(), alert.expr)));
    found.extend(panels());
    found
}

fn placed(place: String, text: &str) -> Placed {
    let expr = parse(&interpolated(text)).unwrap_or_else(|error| panic!("{place}: {error}: {text}"));
    Placed { place, text: text.to_owned(), expr }
}

/// The variables of time replaced; the others stand within strings and do no harm.
fn interpolated(text: &str) -> String {
    text.replace("$__rate_interval", &format!("{RATE_INTERVAL}s"))
        .replace("$__range_s", &RANGE.to_string())
        .replace("$__range", &format!("{RANGE}s"))
}

/// Calls `visit` with each part of an expression and with what it lies in, the outermost first.
pub(super) fn walk<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr, &[&'a Expr])) {
    fn go<'a>(expr: &'a Expr, above: &mut Vec<&'a Expr>, visit: &mut impl FnMut(&'a Expr, &[&'a Expr])) {
        visit(expr, above);
        let below: Vec<&Expr> = match expr {
            Expr::Aggregate(aggregate) => {
                aggregate.param.as_deref().into_iter().chain([&*aggregate.expr]).collect()
            }
            Expr::Unary(unary) => vec![&unary.expr],
            Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
            Expr::Paren(paren) => vec![&paren.expr],
            Expr::Subquery(subquery) => vec![&subquery.expr],
            Expr::Call(call) => call.args.args.iter().map(|arg| &**arg).collect(),
            Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_)
            | Expr::Extension(_) => Vec::new(),
        };
        above.push(expr);
        for part in below {
            go(part, above, visit);
        }
        above.pop();
    }
    go(expr, &mut Vec::new(), visit);
}

/// A selector with what it lies in.
pub(super) struct Selected<'a> {
    pub(super) selector: &'a VectorSelector,
    /// Its range in seconds, where it has one.
    pub(super) range: Option<u64>,
    pub(super) above: Vec<&'a Expr>,
}

impl Selected<'_> {
    pub(super) fn name(&self) -> &str {
        self.selector.name.as_deref().expect("a selector without a metric's name")
    }

    /// The function that is called on it directly.
    pub(super) fn function(&self) -> Option<&'static str> {
        match self.above.last() {
            Some(Expr::Call(call)) => Some(call.func.name),
            _ => None,
        }
    }
}

pub(super) fn selectors(expr: &Expr) -> Vec<Selected<'_>> {
    let mut found = Vec::new();
    walk(expr, &mut |part, above| match part {
        Expr::VectorSelector(selector) => {
            found.push(Selected { selector, range: None, above: above.to_vec() })
        }
        Expr::MatrixSelector(matrix) => found.push(Selected {
            selector: &matrix.vs,
            range: Some(matrix.range.as_secs()),
            above: above.to_vec(),
        }),
        _ => {}
    });
    found
}

/// All labels by which anything is grouped, joined or taken over.
pub(super) fn grouping_labels(expr: &Expr) -> Vec<String> {
    let mut found = Vec::new();
    walk(expr, &mut |part, _| match part {
        Expr::Aggregate(aggregate) => found.extend(labels(aggregate.modifier.as_ref())),
        Expr::Binary(binary) => {
            if let Some(modifier) = &binary.modifier {
                found.extend(labels(modifier.matching.as_ref()));
                found.extend(modifier.card.labels().into_iter().flat_map(|some| some.labels.clone()));
            }
        }
        _ => {}
    });
    found
}

pub(super) fn labels(modifier: Option<&LabelModifier>) -> Vec<String> {
    modifier.map(|modifier| modifier.labels().labels.clone()).unwrap_or_default()
}
