//! Panels of the four kinds that are used, built with one look.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{
    DATASOURCE, Defaults, FieldConfig, GridPos, Link, Matcher, Override, Panel, Property, Step, Target,
    Thresholds,
};

/// Where nothing is wrong at 0 and something is from 1 on.
pub(super) const BAD_FROM_ONE: [Step; 2] =
    [Step { color: "green", value: None }, Step { color: "red", value: Some(1.0) }];
/// The same, less urgent.
pub(super) const ODD_FROM_ONE: [Step; 2] =
    [Step { color: "green", value: None }, Step { color: "orange", value: Some(1.0) }];
/// No judgement.
pub(super) const PLAIN: [Step; 1] = [Step { color: "blue", value: None }];

/// Said where only the recording rules could have an answer.
pub(super) const NEEDS_RULES: &str = "Load the recording rules";

impl Panel {
    /// One number, or few, in big letters.
    pub(super) fn stat(title: &'static str, description: &'static str, steps: &[Step]) -> Self {
        let mut panel = Self::new("stat", title, description, steps);
        panel.options = Some(json!({
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "showPercentChange": false,
            "textMode": "auto",
            "wideLayout": true,
        }));
        panel
    }

    /// Lines over time.
    pub(super) fn lines(title: &'static str, description: &'static str) -> Self {
        let mut panel = Self::new("timeseries", title, description, &PLAIN);
        panel.options = Some(json!({
            "legend": {"calcs": ["max", "lastNotNull"], "displayMode": "table", "placement": "right", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }));
        let config = panel.field_config();
        config.defaults.color = json!({"mode": "palette-classic"});
        config.defaults.min = Some(0);
        config.defaults.custom = BTreeMap::from([
            ("drawStyle", json!("line")),
            ("lineWidth", json!(2)),
            ("fillOpacity", json!(10)),
            ("showPoints", json!("never")),
            ("spanNulls", json!(false)),
            ("axisPlacement", json!("auto")),
            ("stacking", json!({"group": "A", "mode": "none"})),
        ]);
        panel
    }

    /// Bars over time that add up.
    pub(super) fn bars(title: &'static str, description: &'static str) -> Self {
        let mut panel = Self::lines(title, description);
        panel.field_config().defaults.custom.extend([
            ("drawStyle", json!("bars")),
            ("lineWidth", json!(0)),
            ("fillOpacity", json!(80)),
            ("stacking", json!({"group": "A", "mode": "normal"})),
        ]);
        panel
    }

    /// One bar a series, for the last value.
    pub(super) fn bar_gauge(title: &'static str, description: &'static str, steps: &[Step]) -> Self {
        let mut panel = Self::new("bargauge", title, description, steps);
        panel.options = Some(json!({
            "displayMode": "basic",
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false},
            "maxVizHeight": 40,
            "minVizHeight": 16,
            "minVizWidth": 8,
            "namePlacement": "left",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "showUnfilled": true,
            "sizing": "auto",
            "valueMode": "color",
        }));
        panel.field_config().defaults.min = Some(0);
        panel
    }

    /// Rows; the queries' results are put side by side by their labels.
    pub(super) fn table(title: &'static str, description: &'static str, sort_by: &str) -> Self {
        let mut panel = Self::new("table", title, description, &PLAIN);
        panel.options = Some(json!({
            "cellHeight": "sm",
            "frameIndex": 0,
            "showHeader": true,
            "sortBy": [{"desc": true, "displayName": sort_by}],
        }));
        let config = panel.field_config();
        config.defaults.custom = BTreeMap::from([
            ("align", json!("auto")),
            ("cellOptions", json!({"type": "auto"})),
            ("filterable", json!(false)),
        ]);
        panel.transformations = vec![json!({"id": "merge", "options": {}})];
        panel
    }

    /// The heading of a row.
    pub(super) fn row(title: &'static str) -> Self {
        Self {
            datasource: None,
            field_config: None,
            collapsed: Some(false),
            panels: Some(Vec::new()),
            ..Self::new("row", title, "", &PLAIN)
        }
    }

    fn new(kind: &'static str, title: &'static str, description: &'static str, steps: &[Step]) -> Self {
        Self {
            id: 0,
            kind,
            title,
            description,
            grid_pos: GridPos { x: 0, y: 0, w: 24, h: 1 },
            datasource: Some(DATASOURCE),
            interval: None,
            targets: Vec::new(),
            field_config: Some(FieldConfig::plain(steps)),
            options: None,
            links: Vec::new(),
            transformations: Vec::new(),
            collapsed: None,
            panels: None,
        }
    }

    /// Adds a query: over time for lines and bars, else for the end of the range.
    pub(super) fn query(mut self, expr: impl Into<String>, legend_format: &'static str) -> Self {
        let range = self.kind == "timeseries";
        let name = char::from(b'A' + u8::try_from(self.targets.len()).unwrap_or(25).min(25));
        self.targets.push(Target {
            ref_id: name.to_string(),
            datasource: DATASOURCE,
            expr: expr.into(),
            legend_format,
            format: if self.kind == "table" { "table" } else { "time_series" },
            instant: !range,
            range,
            editor_mode: "code",
        });
        self
    }

    pub(super) fn unit(mut self, unit: &'static str) -> Self {
        self.field_config().defaults.unit = unit;
        self
    }

    /// Whole numbers, none of their digits left out.
    pub(super) fn whole(mut self) -> Self {
        let defaults = &mut self.field_config().defaults;
        (defaults.unit, defaults.decimals) = ("locale", Some(0));
        self
    }

    /// At most this on the axis, for shares.
    pub(super) fn max(mut self, max: u8) -> Self {
        self.field_config().defaults.max = Some(max);
        self
    }

    /// What stands there instead of a value that nobody has.
    pub(super) fn no_value(mut self, text: &'static str) -> Self {
        self.field_config().defaults.no_value = Some(text);
        self
    }

    /// The least time between two points.
    pub(super) fn every(mut self, interval: &'static str) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sets an option by its path.
    pub(super) fn option(mut self, pointer: &str, value: Value) -> Self {
        if let Some(place) = self.options.as_mut().and_then(|options| options.pointer_mut(pointer)) {
            *place = value;
        }
        self
    }

    /// A colour that means the same everywhere.
    pub(super) fn colour(self, series: &'static str, colour: &'static str) -> Self {
        self.change("byName", series, "color", json!({"fixedColor": colour, "mode": "fixed"}))
    }

    /// The outcomes of write sessions have the same colours everywhere.
    pub(super) fn outcome_colours(self) -> Self {
        self.colour("atomic_replace", "green")
            .colour("in_place", "red")
            .colour("created_in_place", "orange")
            .colour("recreated", "yellow")
            .colour("incomplete_replace", "purple")
            .colour("guarded", "blue")
            .colour("unknown", "text")
    }

    /// A link in the corner of the panel.
    pub(super) fn link(mut self, title: &'static str, url: &'static str) -> Self {
        self.links.push(Link { title, url, kind: "link", icon: "external link", ..Link::default() });
        self
    }

    /// The legend below, where there is no room beside.
    pub(super) fn below(self) -> Self {
        self.option("/legend/placement", json!("bottom"))
    }

    /// Another property of the fields that `pattern` names.
    pub(super) fn change(
        mut self,
        by: &'static str,
        pattern: &'static str,
        property: &'static str,
        value: Value,
    ) -> Self {
        let property = Property { id: property, value };
        let overrides = &mut self.field_config().overrides;
        match overrides.iter_mut().find(|one| one.matcher.id == by && one.matcher.options == pattern) {
            Some(found) => found.properties.push(property),
            None => overrides
                .push(Override { matcher: Matcher { id: by, options: pattern }, properties: vec![property] }),
        }
        self
    }

    /// Names and orders a table's columns, and its rows by the column that the table is sorted by: the panel's own option
    /// does so only where several queries were merged. A value's column is named after its query until then.
    pub(super) fn columns(mut self, columns: &[(&str, &str)]) -> Self {
        let order: serde_json::Map<_, _> =
            columns.iter().enumerate().map(|(at, (from, _))| ((*from).to_owned(), json!(at))).collect();
        let names: serde_json::Map<_, _> =
            columns.iter().map(|(from, to)| ((*from).to_owned(), json!(to))).collect();
        self.transformations.push(json!({
            "id": "organize",
            "options": {"excludeByName": {"Time": true}, "indexByName": order, "renameByName": names},
        }));
        let sorted_by = self.options.as_ref().map(|options| options["sortBy"][0]["displayName"].clone());
        self.transformations.push(json!({
            "id": "sortBy",
            "options": {"fields": {}, "sort": [{"field": sorted_by, "desc": true}]},
        }));
        self
    }

    /// A link from the values of a column.
    pub(super) fn cell_link(self, column: &'static str, title: &str, url: &str) -> Self {
        self.change("byName", column, "links", json!([{"title": title, "url": url}]))
    }

    pub(super) fn field_config(&mut self) -> &mut FieldConfig {
        self.field_config.get_or_insert_with(|| FieldConfig::plain(&PLAIN))
    }
}

impl FieldConfig {
    fn plain(steps: &[Step]) -> Self {
        let defaults = Defaults {
            unit: "short",
            decimals: None,
            min: None,
            max: None,
            no_value: None,
            color: json!({"mode": "thresholds"}),
            thresholds: Thresholds { mode: "absolute", steps: steps.to_vec() },
            mappings: Vec::new(),
            custom: BTreeMap::new(),
        };
        Self { defaults, overrides: Vec::new() }
    }
}

/// Puts panels on the grid, from left to right, each row as high as `height` says; numbers them.
pub(super) fn lay_out(rows: Vec<(u32, Vec<(u32, Panel)>)>) -> Vec<Panel> {
    let mut panels = Vec::new();
    let (mut id, mut y) = (0, 0);
    for (h, row) in rows {
        let mut x = 0;
        for (w, mut panel) in row {
            id += 1;
            (panel.id, panel.grid_pos) = (id, GridPos { x, y, w, h });
            x += w;
            panels.push(panel);
        }
        y += h;
    }
    panels
}
