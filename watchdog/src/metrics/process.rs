//! Our own process as /proc shows it.

use std::fs;

/// USER_HZ, which is 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at /proc/self. What cannot be read is 0.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ProcessSample {
    pub(super) cpu_seconds: f64,
    pub(super) open_fds: i64,
    pub(super) max_fds: i64,
    pub(super) virtual_memory: i64,
    pub(super) resident_memory: i64,
    pub(super) threads: i64,
    pub(super) start_time: f64,
}

impl ProcessSample {
    pub(super) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            open_fds: i64::try_from(fds).unwrap_or(i64::MAX),
            ..Self::parse(
                &text("/proc/self/stat"),
                &text("/proc/self/status"),
                &text("/proc/self/limits"),
                &text("/proc/stat"),
            )
        }
    }

    fn parse(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The name may hold spaces and parentheses; the fields count from behind the last one.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
        let field = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        let kib = |key: &str| 1024 * number_after(status, key);
        let booted = system.lines().find_map(|line| line.strip_prefix("btime "));
        let booted: f64 = booted.and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
        Self {
            cpu_seconds: (field(11) + field(12)) / TICKS_PER_SECOND,
            open_fds: 0,
            max_fds: number_after(limits, "Max open files"),
            virtual_memory: kib("VmSize:"),
            resident_memory: kib("VmRSS:"),
            threads: number_after(status, "Threads:"),
            start_time: booted + field(19) / TICKS_PER_SECOND,
        }
    }
}

fn number_after(text: &str, key: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "7 (odd) name) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 1000 0 0";
        let status = "Name:\tx\nVmSize:\t 2048 kB\nVmRSS:\t 1024 kB\nThreads:\t3\n";
        let limits = "Limit   Soft  Hard\nMax open files            1024  4096  files\n";
        let sample = ProcessSample::parse(stat, status, limits, "cpu 1\nbtime 1000\n");
        let expected = ProcessSample {
            cpu_seconds: 2.0,
            open_fds: 0,
            max_fds: 1024,
            virtual_memory: 2 << 20,
            resident_memory: 1 << 20,
            threads: 3,
            start_time: 1010.0,
        };
        assert_eq!(sample, expected);
    }

    #[test]
    fn nonsense_is_zero() {
        assert_eq!(ProcessSample::parse("", "", "", ""), ProcessSample::default());
    }

    #[test]
    fn we_use_memory() {
        assert!(ProcessSample::read().resident_memory > 0);
    }
}
