//! A machine's first file system: the programs, and what they are to do.

use std::time::Duration;

use anyhow::Result;

use super::{
    catalogue::{Door, MEDIA, PLANS},
    kernel::Kernel,
    newc::Archive,
    programs::{Programs, read},
};

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The ground truth and the agent's own tests.
    Judge,
    /// Instructions of unrelated calls.
    Count,
    /// Some of the agent's own tests, again and again.
    Repeat,
}

impl Purpose {
    fn init(self) -> &'static str {
        match self {
            Self::Judge => {
                concat!(
                    include_str!("common.sh"),
                    "\n",
                    include_str!("media.sh"),
                    "\n",
                    include_str!("init.sh")
                )
            }
            Self::Repeat => {
                concat!(
                    include_str!("common.sh"),
                    "\n",
                    include_str!("media.sh"),
                    "\n",
                    include_str!("repeat.sh")
                )
            }
            Self::Count => concat!(include_str!("common.sh"), "\n", include_str!("count.sh")),
        }
    }
}

const FOLDERS: [&str; 10] = ["bin", "dev", "media", "modules", "plan", "proc", "run", "sys", "tmp", "etc"];

/// Puts it together; the agent's own tests get `limit` for each of the `doors`. `repeat` is the test that is repeated, and
/// how often.
pub(crate) fn build(
    purpose: Purpose,
    programs: &Programs,
    kernel: &Kernel,
    doors: &[Door],
    limit: Duration,
    (case, times): (&str, usize),
) -> Result<Vec<u8>> {
    let Programs { agent, workload, tests, empty_doors, busybox } = programs;
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    // The kernel opens it for the first program before anything is mounted.
    archive.device("dev/console", 5, 1);
    archive.program("init", purpose.init().as_bytes());
    archive.program("bin/busybox", &read(busybox)?);
    archive.program("bin/state-watchdog", &read(agent)?);
    archive.program("bin/watchdog-workload", &read(workload)?);
    match purpose {
        Purpose::Judge | Purpose::Repeat => {
            for (name, program) in tests {
                archive.program(&format!("{name}-tests"), &read(program)?);
            }
        }
        Purpose::Count => archive.program("bin/empty-doors", &read(empty_doors)?),
    }
    for (name, content) in kernel.modules()? {
        archive.file(&format!("modules/{name}"), &content);
    }
    archive.file("plan/media", MEDIA.join("\n").as_bytes());
    archive.file("plan/containers", containers().as_bytes());
    archive.file("plan/doors", door_lines(doors).as_bytes());
    archive.file("plan/case", case.as_bytes());
    archive.file("plan/times", times.to_string().as_bytes());
    archive.file("plan/tests-limit", limit.as_secs().to_string().as_bytes());
    Ok(archive.finish())
}

fn containers() -> String {
    PLANS
        .iter()
        .map(|plan| {
            let (how, style) = (plan.how.as_str(), plan.style.as_str());
            format!("{how} {style} {} {}\n", plan.writes, plan.reads)
        })
        .collect()
}

fn door_lines(doors: &[Door]) -> String {
    doors
        .iter()
        .map(|door| {
            let (tests, filter) = door.sight.tests();
            let (environment, arguments) = (door.environment.join(" "), door.arguments.join(" "));
            format!("{}|{environment}|{arguments}|{tests}|{filter}\n", door.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::catalogue::KERNELS;

    #[test]
    fn the_plan_is_lines_of_words() {
        let plans = containers();
        assert_eq!(plans.lines().count(), PLANS.len());
        assert!(plans.lines().all(|line| line.split(' ').count() == 4), "{plans}");
        let doors = door_lines(KERNELS[0].doors);
        assert!(doors.lines().all(|line| line.split('|').count() == 5), "{doors}");
    }
}
