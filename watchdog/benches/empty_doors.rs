//! Empty programs where the source `vfs` has its own: what attachment alone costs. `cargo xtask bench --kernels` runs it in
//! emulated machines.
//!
//! `empty_doors fentry|kprobe|mixed`: attaches, says `ready`, and holds on until it is killed.

use anyhow::{Context as _, Result, bail};
use aya::programs::{FEntry, FExit, KProbe};
use aya::{Btf, Ebpf};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/attach-kinds"));

/// What reading, writing, opening and closing come through: the candidates of `source/ebpf/hooks.rs`, best first, and
/// whether there are programs at the entry and at the return. A kretprobe shows no arguments, so kprobes have both.
const FUNCTIONS: [(&[&str], bool, bool); 5] = [
    (&["vfs_read"], true, true),
    (&["vfs_write"], true, true),
    (&["do_file_open", "do_filp_open"], true, false),
    (&["do_dentry_open"], false, true),
    (&["__fput", "security_file_free"], true, false),
];

fn main() -> Result<()> {
    // cargo test builds and runs benches too.
    let Some(kind) = std::env::args().nth(1).filter(|kind| !kind.starts_with('-')) else { return Ok(()) };
    let btf = Btf::from_sys_fs().context("cannot read the kernel's type information")?;
    let mut held = Vec::new();
    for (candidates, entry, exit) in FUNCTIONS {
        let attach = |function: &&str| match kind.as_str() {
            "fentry" => by_fentry(function, entry, exit, &btf).map(|ebpf| vec![ebpf]),
            "kprobe" => by_kprobe(function, exit).map(|ebpf| vec![ebpf]),
            "mixed" => mixed(function, entry, exit, &btf),
            other => bail!("{other} is none of fentry, kprobe and mixed"),
        };
        let attached = candidates.iter().map(attach).find_map(Result::ok);
        held.extend(attached.with_context(|| format!("cannot attach to {}", candidates.join(" or ")))?);
    }
    println!("ready");
    // Not in a read: a kretprobe's few places would be taken by it.
    loop {
        std::thread::park();
    }
}

/// As on kernels that preempt tracing programs: kprobes, and at the return of what may wait two fexit programs instead.
fn mixed(function: &str, entry: bool, exit: bool, btf: &Btf) -> Result<Vec<Ebpf>> {
    let waits = entry && exit;
    let mut held = vec![by_kprobe(function, exit && !waits)?];
    if waits {
        for _ in 0..2 {
            held.push(by_fentry(function, false, true, btf)?);
        }
    }
    Ok(held)
}

fn by_fentry(function: &str, entry: bool, exit: bool, btf: &Btf) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(OBJECT)?;
    if exit {
        let program: &mut FExit = ebpf.program_mut("empty_fexit").context("no such program")?.try_into()?;
        program.load(function, btf)?;
        program.attach()?;
    }
    if entry {
        let program: &mut FEntry = ebpf.program_mut("empty_fentry").context("no such program")?.try_into()?;
        program.load(function, btf)?;
        program.attach()?;
    }
    Ok(ebpf)
}

fn by_kprobe(function: &str, exit: bool) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(OBJECT)?;
    for name in ["empty_kretprobe", "empty_kprobe"].into_iter().skip(usize::from(!exit)) {
        let program: &mut KProbe = ebpf.program_mut(name).context("no such program")?.try_into()?;
        program.load()?;
        program.attach(function, 0)?;
    }
    Ok(ebpf)
}
