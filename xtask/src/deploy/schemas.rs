//! Manifests against the schemas that Kubernetes and Prometheus Operator publish.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::programs::{Programs, feed, output};
use crate::{scratch::Scratch, tools::Cache};

/// The versions whose schemas there are.
pub(super) const VERSIONS: (u32, u32) = (25, 37);
/// The types of Prometheus Operator, and the compiler that holds objects against them.
const PACKAGES: [&str; 2] = ["@kubernetes-models/prometheus-operator@6.0.0", "typescript@5.9.3"];
const OPERATOR: &str = "monitoring.coreos.com/v1";

/// Judges documents strictly against the versions `from` to `to`, equal ones once; gives how many were judged.
pub(super) fn validate(programs: &Programs, documents: &[Value], from: u32, to: u32) -> Result<usize> {
    let own = documents.iter().filter(|one| one["apiVersion"] != OPERATOR);
    let own: BTreeSet<String> = own.map(Value::to_string).collect();
    ensure!(!own.is_empty(), "nothing was rendered");
    let list: Vec<&str> = own.iter().map(String::as_str).collect();
    let mut python = programs.python("python");
    feed(python.args(["-c", JUDGE, &from.to_string(), &to.to_string()]), &format!("[{}]", list.join(",")))?;
    Ok(own.len())
}

/// The package's own `validate` reads all definitions of a version anew for each object.
const JUDGE: &str = r#"
import functools, json, pathlib, re, sys, jsonschema, kubernetes_validate
from referencing import Registry, Resource
schemas = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
load = lambda file: Resource.from_contents(json.loads(file.read_text()))
@functools.cache
def registry(minor):
    return (load(schemas / f"v1.{minor}.0-local-strict" / "_definitions.json") @ Registry()).crawl()
@functools.cache
def validator(minor, kind, api):
    schema = load(schemas / f"v1.{minor}.0-local-strict" / f"{kind.lower()}-{api}.json")
    return jsonschema.Draft202012Validator(schema.contents, registry=schema @ registry(minor))
bad = []
documents = json.load(sys.stdin)
for minor in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    for document in documents:
        api = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", document["apiVersion"])
        for error in validator(minor, document["kind"], api).iter_errors(document):
            bad.append(f"{document['kind']} by 1.{minor}: {error.json_path}: {error.message[:300]}")
sys.exit("\n".join(bad[:5]) or 0)
"#;

/// Judges the operator's objects: a field that the types do not know is an error, and so is a wrong type.
pub(super) fn validate_operator(cache: &Cache, scratch: &Scratch, documents: &[Value]) -> Result<usize> {
    let folder = cache.folder().join("prometheus-operator-types");
    let wanted = PACKAGES.join("\n");
    let note = folder.join("packages");
    if !fs::read_to_string(&note).is_ok_and(|found| found == wanted) {
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&folder)
            .args(PACKAGES);
        cache.run("install the types of Prometheus Operator", &mut npm)?;
        fs::write(&note, wanted)?;
    }
    let mut source = String::new();
    let mut count = 0;
    for document in documents.iter().filter(|one| one["apiVersion"] == OPERATOR) {
        let kind = document["kind"].as_str().context("an object without a kind")?;
        writeln!(
            source,
            "import type {{ I{kind} as I{count} }} from '@kubernetes-models/prometheus-operator/{OPERATOR}/{kind}';"
        )?;
        writeln!(source, "export const object{count}: I{count} = {document:#};")?;
        count += 1;
    }
    ensure!(count > 0, "no object of {OPERATOR} was rendered");
    let place = scratch.folder("operator")?;
    let modules = place.join("node_modules");
    let _ = fs::remove_file(&modules);
    std::os::unix::fs::symlink(folder.join("node_modules"), &modules)?;
    fs::write(place.join("objects.ts"), source)?;
    fs::write(place.join("package.json"), r#"{"type":"module"}"#)?;
    compile(&folder, &place)?;
    Ok(count)
}

fn compile(folder: &Path, place: &Path) -> Result<String> {
    let mut node = Command::new("node");
    node.arg(folder.join("node_modules/typescript/bin/tsc"))
        .args(["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"])
        .arg("objects.ts")
        .current_dir(place);
    output(&mut node)
}
