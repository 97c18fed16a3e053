//! The probes' counters, read where the kernel keeps them.
//!
//! A system call that reads a map keeps probes from running on its processor meanwhile (`bpf_disable_instrumentation`,
//! 5.10 to 7.2), and where the kernel can be preempted that may take long: asking what was missed would cause misses.

use std::io;
use std::ptr;

use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use watchdog_common::LossCounter;

/// What was lost, by [`LossCounter`].
pub(super) struct Counters {
    words: *const u64,
    /// The map lives as long as the mapping anyway; whoever looks for the program's maps finds it.
    _map: MapData,
}

// SAFETY: the words are read alone, and by whole words.
#[expect(unsafe_code, reason = "an address is nobody's by itself")]
unsafe impl Send for Counters {}

impl Counters {
    /// So much is mapped.
    const LENGTH: usize = LossCounter::COUNT as usize * size_of::<u64>();

    /// Maps the array.
    pub(super) fn of(map: MapData) -> io::Result<Self> {
        let fd = map.fd();
        // SAFETY: a new mapping wherever there is room; the kernel refuses one that the map has not.
        #[expect(unsafe_code, reason = "mapping memory")]
        let words = unsafe { mmap(ptr::null_mut(), Self::LENGTH, ProtFlags::READ, MapFlags::SHARED, fd, 0) };
        Ok(Self { words: words?.cast(), _map: map })
    }

    /// The counter's value.
    pub(super) fn get(&self, counter: LossCounter) -> u64 {
        // SAFETY: the counter is one of those that are mapped, and an aligned word; the probes add to it meanwhile.
        #[expect(unsafe_code, reason = "the kernel writes there")]
        unsafe {
            self.words.add(counter as usize).read_volatile()
        }
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: nobody reads it any more.
        #[expect(unsafe_code, reason = "unmapping memory")]
        let _ = unsafe { munmap(self.words.cast_mut().cast(), Self::LENGTH) };
    }
}
