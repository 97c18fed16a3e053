//! What the chart needs of `dashboards/`: a chart can read no file outside its own folder, so copies lie in it.

use std::{collections::BTreeMap, env, ffi::OsStr, fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::chart;

/// Folders of originals, folders of copies below the chart's, and the kind of file.
const PAIRS: [(&str, &str, &str); 2] =
    [("dashboards/grafana", "files/dashboards", "json"), ("dashboards/rules", "files/rules", "yaml")];

/// An error unless each copy is its original and none is missing or left over. `UPDATE_DOCS=1` copies anew.
pub(super) fn check(root: &Path) -> Result<String> {
    let mut count = 0;
    for (originals, copies, kind) in PAIRS {
        let (originals, copies) = (root.join(originals), root.join(chart::FOLDER).join(copies));
        let wanted = files(&originals, kind)?;
        if env::var_os("UPDATE_DOCS").is_some() {
            renew(&copies, kind, &wanted)?;
        }
        let found = files(&copies, kind)?;
        ensure!(!wanted.is_empty(), "{} is empty", originals.display());
        for name in wanted.keys().chain(found.keys()) {
            ensure!(
                wanted.get(name) == found.get(name),
                "{} is not {}; UPDATE_DOCS=1 copies it anew",
                copies.join(name).display(),
                originals.join(name).display()
            );
        }
        count += wanted.len();
    }
    Ok(format!("{count} files"))
}

fn renew(copies: &Path, kind: &str, wanted: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    fs::create_dir_all(copies)?;
    for name in files(copies, kind)?.keys() {
        fs::remove_file(copies.join(name))?;
    }
    for (name, content) in wanted {
        fs::write(copies.join(name), content)?;
    }
    Ok(())
}

fn files(folder: &Path, kind: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(kind)) {
            let name = path.file_name().and_then(OsStr::to_str).context("a file's name is no text")?;
            files.insert(name.to_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}
