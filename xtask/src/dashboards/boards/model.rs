//! A dashboard as Grafana imports it: the part of its schema that ours use, in the form that 10 reads and later ones migrate.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The schema of Grafana 10.0; later releases migrate it when they load it, earlier ones would not know a later one.
pub(super) const SCHEMA_VERSION: u32 = 38;

/// The whole file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    pub(crate) uid: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) schema_version: u32,
    pub(crate) editable: bool,
    pub(crate) timezone: &'static str,
    pub(crate) refresh: &'static str,
    pub(crate) graph_tooltip: u8,
    pub(crate) time: TimeRange,
    pub(crate) links: Vec<Link>,
    pub(crate) templating: Templating,
    pub(crate) annotations: Annotations,
    pub(crate) panels: Vec<Panel>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct TimeRange {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// Empty: Grafana adds its own.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Annotations {
    pub(crate) list: Vec<Value>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Templating {
    pub(crate) list: Vec<Variable>,
}

/// What the reader of a dashboard chooses.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) query: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) datasource: Option<DataSource>,
    /// The query as typed; Grafana has it in `query`.
    #[serde(skip)]
    pub(crate) definition: Option<&'static str>,
    pub(crate) hide: u8,
    pub(crate) refresh: u8,
    pub(crate) sort: u8,
    pub(crate) multi: bool,
    pub(crate) include_all: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) all_value: Option<&'static str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) current: Value,
    pub(crate) options: Vec<Value>,
    pub(crate) skip_url_sync: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DataSource {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) uid: &'static str,
}

/// Whatever Prometheus the reader has chosen.
pub(super) const DATASOURCE: DataSource = DataSource { kind: "prometheus", uid: "${datasource}" };

/// A way to elsewhere, of a dashboard or of a panel.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Link {
    pub(crate) title: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) icon: &'static str,
    pub(crate) tooltip: &'static str,
    pub(crate) url: &'static str,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) as_dropdown: bool,
    pub(crate) target_blank: bool,
    pub(crate) include_vars: bool,
    pub(crate) keep_time: bool,
}

/// A panel, or the heading of a row of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    pub(crate) id: u32,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) title: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) description: &'static str,
    pub(crate) grid_pos: GridPos,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) datasource: Option<DataSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) targets: Vec<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field_config: Option<FieldConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) transformations: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) collapsed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) panels: Option<Vec<Value>>,
}

/// On a grid of 24 columns.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct GridPos {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) w: u32,
    pub(crate) h: u32,
}

/// A query.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    pub(crate) ref_id: String,
    pub(crate) datasource: DataSource,
    pub(crate) expr: String,
    pub(crate) legend_format: &'static str,
    pub(crate) format: &'static str,
    pub(crate) instant: bool,
    pub(crate) range: bool,
    pub(crate) editor_mode: &'static str,
}

/// How values look.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldConfig {
    pub(crate) defaults: Defaults,
    pub(crate) overrides: Vec<Override>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Defaults {
    pub(crate) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decimals: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_value: Option<&'static str>,
    pub(crate) color: Value,
    pub(crate) thresholds: Thresholds,
    pub(crate) mappings: Vec<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) custom: BTreeMap<&'static str, Value>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Thresholds {
    pub(crate) mode: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// From `value` on it has this colour; the first has none.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) color: &'static str,
    pub(crate) value: Option<f64>,
}

/// What is other for some fields.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Override {
    pub(crate) matcher: Matcher,
    pub(crate) properties: Vec<Property>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Matcher {
    pub(crate) id: &'static str,
    pub(crate) options: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Property {
    pub(crate) id: &'static str,
    pub(crate) value: Value,
}
