//! Names that are meant to do harm where they are shown.

use std::{
    ffi::{CString, OsStr},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use workload::{FORGED, render};

use crate::process;

/// For each forged name a container, saved in place by a process under that name and by `comms` processes under names
/// that nobody else has.
pub(crate) fn run(root: &Path, comms: u64) -> Result<u64> {
    let mut saves = 0;
    for name in FORGED {
        let folder = root.join(OsStr::from_bytes(name));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("state.json");
        fs::write(&file, render(0))?;
        save_as(&file, &name[..name.len().min(15)])?;
        saves += 1;
    }
    let file = root.join(OsStr::from_bytes(FORGED[0])).join("state.json");
    for number in 0..comms {
        save_as(&file, format!("forged-{number}").as_bytes())?;
        saves += 1;
    }
    Ok(saves)
}

/// Saves in place, in a process of that name.
fn save_as(file: &Path, comm: &[u8]) -> Result<()> {
    let comm = CString::new(comm)?;
    let child = process::fork(|| {
        process::rename(&comm);
        u8::from(fs::write(file, render(1)).is_err())
    })?;
    process::reap(Some(child))?;
    Ok(())
}
