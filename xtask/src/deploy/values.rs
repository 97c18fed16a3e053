//! The chart's table of values: written from the schema, which says what each is for, and from the defaults.

use std::{env, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use super::{chart, programs::Programs};
use crate::marks::Marks;

const MARKS: Marks =
    Marks { page: "README.md", begin: "<!-- begin values: generated -->", end: "<!-- end values -->" };

/// An error unless the README's table is what schema and defaults say. `UPDATE_DOCS=1` writes it anew.
pub(super) fn check(programs: &Programs, root: &Path) -> Result<String> {
    let folder = root.join(chart::FOLDER);
    let read = |name: &str| {
        fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name} of the chart"))
    };
    let defaults = programs.parse(&read("values.yaml")?)?.pop().context("values.yaml is empty")?;
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    let rows = rows(&schema, &defaults)?;
    let readme = read("README.md")?;
    let mut table = "| value | default | what it is |\n|---|---|---|\n".to_owned();
    for Row { name, default, text } in &rows {
        writeln!(table, "| `{name}` | {default} | {text} |")?;
    }
    let wanted = MARKS.renew(&readme, &table)?;
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(folder.join("README.md"), &wanted)?;
    } else {
        ensure!(readme == wanted, "the chart's README does not tell its values; UPDATE_DOCS=1 writes them");
    }
    Ok(format!("{} values", rows.len()))
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    default: String,
    text: String,
}

/// One row for each value that can be set; an error when schema and defaults do not name the same ones.
fn rows(schema: &Value, defaults: &Value) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    collect("", schema, defaults, &mut rows)?;
    Ok(rows)
}

fn collect(prefix: &str, schema: &Value, defaults: &Value, rows: &mut Vec<Row>) -> Result<()> {
    let none = Map::new();
    let known = schema["properties"].as_object().unwrap_or(&none);
    let given = defaults.as_object().with_context(|| format!("{prefix:?} has no defaults"))?;
    for name in given.keys() {
        ensure!(known.contains_key(name), "the schema does not know {prefix}{name}");
    }
    for (name, schema) in known.iter().filter(|(name, _)| *name != "global") {
        let path = format!("{prefix}{name}");
        let default = given.get(name).with_context(|| format!("values.yaml does not say {path}"))?;
        let text =
            schema["description"].as_str().with_context(|| format!("the schema does not describe {path}"))?;
        if is_group(schema, default) {
            collect(&format!("{path}."), schema, default, rows)?;
        } else {
            rows.push(Row { name: path, default: format!("`{default}`"), text: format!("{text}.") });
        }
    }
    Ok(())
}

/// A group's members are described one by one; other objects are values as a whole.
fn is_group(schema: &Value, default: &Value) -> bool {
    let members = schema["properties"].as_object();
    default.is_object()
        && members.is_some_and(|members| {
            !members.is_empty() && members.values().all(|member| member["description"].is_string())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn groups_are_told_member_by_member_and_other_objects_whole() {
        let schema = json!({"properties": {
            "image": {"description": "Image", "properties": {"tag": {"description": "Tag"}}},
            "selector": {"description": "Where", "type": "object"},
        }});
        let defaults = json!({"image": {"tag": ""}, "selector": {"a": "b"}});
        let rows = rows(&schema, &defaults).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.default.as_str())).collect();
        assert_eq!(told, [("image.tag", "`\"\"`"), ("selector", "`{\"a\":\"b\"}`")]);
        assert_eq!(rows[1].text, "Where.");
    }

    #[test]
    fn schema_and_defaults_must_name_the_same_values() {
        let schema = json!({"properties": {"a": {"description": "A"}}});
        assert!(rows(&schema, &json!({})).is_err());
        assert!(rows(&schema, &json!({"a": 1, "b": 2})).is_err());
        assert!(rows(&json!({"properties": {"a": {}}}), &json!({"a": 1})).is_err());
    }
}
