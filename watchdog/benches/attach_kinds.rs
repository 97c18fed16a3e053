//! Which kind of attachment costs unrelated system calls least: tp_btf programs on all system calls, or a tracepoint
//! program on the entry and return of each call that matters.
//!
//! `cargo bench -p watchdog --bench attach_kinds`, as root. One run, alternating, medians of 15 rounds.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::programs::{BtfTracePoint, TracePoint};
use aya::{Btf, Ebpf};
use workload::Cost;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/attach-kinds"));
const ROUNDS: usize = 15;
const TRACEFS: &str = "/sys/kernel/tracing";

/// The calls that the source `syscalls` looks at, by the names of their tracepoints.
const CALLS: [&str; 37] = [
    "open",
    "openat",
    "openat2",
    "open_by_handle_at",
    "creat",
    "read",
    "pread64",
    "readv",
    "preadv",
    "preadv2",
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "truncate",
    "ftruncate",
    "fallocate",
    "sendfile64",
    "splice",
    "copy_file_range",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mmap",
    "fsync",
    "fdatasync",
    "close",
    "dup2",
    "dup3",
    "flock",
    "fcntl",
    "dup",
];

fn main() -> Result<()> {
    // cargo test builds and runs benches too; measuring is for cargo bench.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("attach_kinds: only under cargo bench");
        return Ok(());
    }
    mount_tracefs()?;
    let btf = Btf::from_sys_fs().context("cannot read the kernel's type information")?;
    let folder = Path::new("/dev/shm");
    let mut rounds: [Vec<Cost>; 3] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(Cost::measure(folder)?);
        let all = all_calls(&btf)?;
        rounds[1].push(Cost::measure(folder)?);
        drop(all);
        let each = each_call()?;
        rounds[2].push(Cost::measure(folder)?);
        drop(each);
    }
    let medians = rounds.each_ref().map(|round| medians(round));
    println!("| ns per call | nothing | tp_btf, all calls | tracepoint per call |\n|---|---|---|---|");
    for (i, name) in Cost::NAMES.iter().enumerate() {
        let [none, all, each] = medians.map(|values| values[i]);
        println!(
            "| {name} | {none:.0} | {all:.0} (x {:.2}) | {each:.0} (x {:.2}) |",
            all / none,
            each / none
        );
    }
    Ok(())
}

fn medians(costs: &[Cost]) -> [f64; 4] {
    std::array::from_fn(|i| {
        let mut values: Vec<f64> = costs.iter().map(|cost| cost.values()[i]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    })
}

fn all_calls(btf: &Btf) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(OBJECT)?;
    for (program, tracepoint) in [("all_enter", "sys_enter"), ("all_exit", "sys_exit")] {
        let program: &mut BtfTracePoint = ebpf.program_mut(program).context("no such program")?.try_into()?;
        program.load(tracepoint, btf)?;
        program.attach()?;
    }
    Ok(ebpf)
}

fn each_call() -> Result<Ebpf> {
    let mut ebpf = Ebpf::load(OBJECT)?;
    let program: &mut TracePoint = ebpf.program_mut("one").context("no such program")?.try_into()?;
    program.load()?;
    let mut attached = 0;
    for call in CALLS {
        for side in ["enter", "exit"] {
            let name = format!("sys_{side}_{call}");
            if Path::new(TRACEFS).join("events/syscalls").join(&name).is_dir() {
                program.attach("syscalls", &name)?;
                attached += 1;
            }
        }
    }
    if attached < 60 {
        bail!("only {attached} system-call tracepoints in {TRACEFS}");
    }
    Ok(ebpf)
}

fn mount_tracefs() -> Result<()> {
    if Path::new(TRACEFS).join("events").is_dir() {
        return Ok(());
    }
    fs::metadata(TRACEFS).context("the kernel has no tracefs")?;
    let status = std::process::Command::new("mount").args(["-t", "tracefs", "tracefs", TRACEFS]).status()?;
    if !status.success() {
        bail!("cannot mount tracefs on {TRACEFS}");
    }
    Ok(())
}
