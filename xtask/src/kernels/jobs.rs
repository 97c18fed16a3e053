//! The machines that are run: chosen, given what they need, and booted.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    catalogue::{Choice, Door, KERNELS},
    initramfs::{self, Purpose},
    kernel::Kernel,
    machine::{Machine, Run},
    options::Options,
    programs::Programs,
    transcript::Transcript,
};
use crate::{
    again::until_begun,
    architecture::Architecture,
    build::{Profile, agent_and_workload},
    repository::Repository,
    scratch::{Medium, Scratch},
    tally::Tally,
    tools::{self, Cache, sha256},
};

/// A machine that has not powered off by then is stuck.
const LIMIT: Duration = Duration::from_secs(1800);
/// A machine is started so often while its kernel dies before the first program runs. Where several processors are
/// emulated at once, QEMU may run code as it was before the kernel changed it: "Oops: int3" while it boots, rarely (seen
/// with 7.2; 8.0 does so, too: Red Hat's bug 2216496). Whatever happens later is judged.
const BOOTS: usize = 3;
/// The agent's own tests get this much of it.
const TESTS_LIMIT: Duration = Duration::from_secs(900);
/// Each run of tests that are repeated gets so much more.
const REPEAT_LIMIT: Duration = Duration::from_secs(60);
/// Size of the disk, sparse.
const DISK: &str = "64M";

/// A machine to run.
pub(super) struct Job<'a> {
    pub(super) choice: Choice,
    pub(super) doors: Vec<Door>,
    kernel: Kernel,
    programs: &'a Programs,
    /// The test that is repeated, and how often.
    repeat: (String, usize),
}

/// The machines that are wanted, with all that they need.
pub(super) fn jobs<'a>(
    options: &Options,
    repository: &Repository,
    cache: &Cache,
    tally: &mut Tally,
    built: &'a mut BTreeMap<&'static str, Programs>,
) -> Vec<Job<'a>> {
    let mut chosen = Vec::new();
    tally.check("the kernels are known", || {
        chosen = choose(&options.kernel)?;
        Ok(format!("{}", chosen.len()))
    });
    for architecture in architectures(&chosen) {
        tally.check(&format!("the programs for {} are there", architecture.debian()), || {
            let mut programs = prepare(repository, cache, architecture)?;
            if options.released {
                programs.agent = agent_and_workload(repository, cache, architecture, Profile::Release)?.0;
            }
            let detail = sha256(&programs.agent)?;
            built.insert(architecture.debian(), programs);
            Ok(format!("agent sha256 {detail}"))
        });
    }
    let (mut jobs, built) = (Vec::new(), &*built);
    for choice in chosen {
        let Some(programs) = built.get(choice.architecture.debian()) else { continue };
        let wanted =
            |door: &&Door| options.door.is_empty() || options.door.iter().any(|name| name == door.name);
        let doors = choice.doors.iter().filter(wanted).copied().collect();
        tally.check(&format!("{}: the kernel is there", choice.name), || {
            let kernel = Kernel::get(cache, choice, options.refresh)?;
            let repeat = (options.case.clone().unwrap_or_default(), options.times);
            jobs.push(Job { choice, doors, kernel, programs, repeat });
            Ok(String::new())
        });
    }
    jobs
}

fn choose(names: &[String]) -> Result<Vec<Choice>> {
    let known = KERNELS.map(|kernel| kernel.name);
    for name in names {
        ensure!(known.contains(&name.as_str()), "no kernel is called {name}; there are {}", known.join(", "));
    }
    let wanted = |kernel: &Choice| names.is_empty() || names.iter().any(|name| name == kernel.name);
    Ok(KERNELS.into_iter().filter(wanted).collect())
}

pub(super) fn architectures(chosen: &[Choice]) -> Vec<Architecture> {
    let mut all: Vec<_> = chosen.iter().map(|choice| choice.architecture).collect();
    all.dedup();
    all
}

pub(super) fn emulator(cache: &Cache, architecture: Architecture) -> Result<()> {
    let (program, package) = architecture.emulator();
    if tools::has_program(program) { Ok(()) } else { tools::installed(cache, &[package]) }
}

/// Everything that the machines of one kind of processor share.
fn prepare(repository: &Repository, cache: &Cache, architecture: Architecture) -> Result<Programs> {
    emulator(cache, architecture)?;
    Programs::get(repository, cache, architecture)
}

impl Job<'_> {
    /// Runs the machine to its end.
    pub(super) fn boot(
        &self,
        purpose: Purpose,
        cache: &Cache,
        transcript: &mut Transcript,
    ) -> Result<String> {
        let version = &self.kernel.version;
        let word = match purpose {
            Purpose::Judge => "kernel",
            Purpose::Count => "count",
            Purpose::Repeat => "repeat",
        };
        let log = cache.folder().join("logs").join(format!("{word}-{}.log", self.choice.name));
        let mut died = String::new();
        let run = until_begun(BOOTS, |boot| {
            let run = self.run(purpose)?;
            fs::write(&log, &run.said).with_context(|| format!("cannot write {}", log.display()))?;
            *transcript = Transcript::parse(&run.said);
            if !transcript.has_begun() {
                let kept = log.with_extension(format!("boot-{boot}.log"));
                fs::copy(&log, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
                died += &format!(", boot {boot} died before the first program ran: {}", kept.display());
            }
            Ok((transcript.has_begun(), run))
        })?;
        let why = if run.overdue { "was not done in time" } else { "ended early" };
        let (end, log) = (transcript.end(), log.display());
        ensure!(transcript.done, "{version} {why}{died}; {end}; all it said: {log}");
        Ok(format!("{version} in {:.0} s{died}", run.took.as_secs_f64()))
    }

    /// Runs the machine once, with a disk and a first file system of its own.
    fn run(&self, purpose: Purpose) -> Result<Run> {
        let Self { choice, doors, kernel, programs, repeat: (case, times) } = self;
        let scratch = Scratch::new(Medium::Disk)?;
        let (first, disk) = (scratch.path().join("initramfs"), scratch.path().join("disk"));
        fs::write(&first, initramfs::build(purpose, programs, kernel, doors, TESTS_LIMIT, (case, *times))?)?;
        make_disk(&disk)?;
        let (architecture, counts) = (choice.architecture, purpose == Purpose::Count);
        let repeats = if purpose == Purpose::Repeat { u32::try_from(doors.len() * times)? } else { 0 };
        Machine { architecture, kernel: &kernel.image, initramfs: &first, disk: &disk, counts }
            .run(LIMIT + REPEAT_LIMIT * repeats)
    }
}

/// A disk with an empty ext4 that every kernel here can read.
fn make_disk(disk: &Path) -> Result<()> {
    // Debian keeps it where only root's path leads.
    let output = Command::new("/sbin/mke2fs").args(["-q", "-t", "ext4"]).arg(disk).arg(DISK).output()?;
    ensure!(output.status.success(), "mke2fs: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name() {
        assert_eq!(choose(&[]).unwrap(), KERNELS);
        assert_eq!(choose(&["6.1".to_owned()]).unwrap(), [KERNELS[1]]);
        assert!(choose(&["2.4".to_owned()]).is_err());
    }
}
