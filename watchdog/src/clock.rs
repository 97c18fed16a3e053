//! The agent's clocks: boot time, which events carry, and wall time, which people read.

use std::time::{Duration, SystemTime};

use crate::model::BootNanos;

/// Nanoseconds since boot now, by the clock that stamps events in the kernel.
#[must_use]
pub fn boot_now() -> BootNanos {
    BootNanos(told_by(libc::CLOCK_BOOTTIME))
}

/// Nanoseconds of processor time that this thread took so far.
#[must_use]
pub fn thread_time() -> u64 {
    told_by(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn told_by(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "std offers neither of these clocks")]
    // SAFETY: `time` is a valid timespec for the kernel to fill; the call keeps no pointer.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if result != 0 {
        return 0;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Translates boot time to wall time.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// The wall time of the moment of boot, in nanoseconds since the epoch.
    boot: u64,
}

impl WallClock {
    /// Reads both clocks now. Wall time may be set while we run, so this is repeated.
    #[must_use]
    pub fn read() -> Self {
        let boot_now = boot_now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let wall = u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
        Self { boot: wall.saturating_sub(boot_now.0) }
    }

    /// A clock with a known moment of boot, for output that must not vary.
    #[must_use]
    pub fn booted_at(nanos_since_epoch: u64) -> Self {
        Self { boot: nanos_since_epoch }
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub fn unix_nanos(self, at: BootNanos) -> u64 {
        self.boot.saturating_add(at.0)
    }

    /// RFC 3339 in UTC with nine digits of a second.
    #[must_use]
    pub fn rfc3339(self, at: BootNanos) -> String {
        written(i128::from(self.unix_nanos(at)))
    }
}

/// RFC 3339 in UTC with nine digits of a second, as [`WallClock::rfc3339`].
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    // File systems keep times before the epoch, too.
    let nanos = since.map_or_else(|before| -nanos(before.duration()), nanos);
    written(nanos)
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

fn written(nanos: i128) -> String {
    let Ok(t) = time::OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return "1970-01-01T00:00:00.000000000Z".to_owned();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        t.year(),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.nanosecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_with_nanoseconds() {
        let clock = WallClock::booted_at(1_700_000_000_000_000_000);
        assert_eq!(clock.rfc3339(BootNanos(1_000_000_042)), "2023-11-14T22:13:21.000000042Z");
    }

    #[test]
    fn a_time_before_the_epoch_is_one() {
        let time = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
        assert_eq!(rfc3339(time), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn boot_time_moves_on() {
        let first = boot_now();
        assert!(first.0 > 0);
        assert!(boot_now() >= first);
    }
}
