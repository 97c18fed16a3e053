//! What lies in `dashboards/` is what the sources say.

use std::{env, fs, path::Path};

use super::super::{UPDATE, rendered};

#[test]
fn the_rendered_files_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    for file in rendered() {
        let path = folder.join(file.path);
        if env::var_os("UPDATE_DASHBOARDS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.content).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == file.content, "dashboards/{} is stale; {UPDATE} writes it", file.path);
    }
}
