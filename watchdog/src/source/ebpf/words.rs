//! Words that the probes write, read where the kernel keeps them.
//!
//! A system call that reads a map keeps probes from running on its processor meanwhile (`bpf_disable_instrumentation`,
//! 5.10 to 7.2), and where the kernel can be preempted that may take long: asking what was missed would cause misses.

use std::io;
use std::ptr;

use aya::maps::MapData;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// An array of words, mapped.
pub(super) struct Words {
    words: *const u64,
    count: u32,
    /// The map lives as long as the mapping anyway; whoever looks for the program's maps finds it.
    _map: MapData,
}

// SAFETY: the words are read alone, and by whole words.
#[expect(unsafe_code, reason = "an address is nobody's by itself")]
unsafe impl Send for Words {}

impl Words {
    /// Maps an array of so many words.
    pub(super) fn of(map: MapData, count: u32) -> io::Result<Self> {
        let fd = map.fd();
        let length = length(count);
        // SAFETY: a new mapping wherever there is room; the kernel refuses one that the map has not.
        #[expect(unsafe_code, reason = "mapping memory")]
        let words = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, fd, 0) };
        Ok(Self { words: words?.cast(), count, _map: map })
    }

    /// The word at `index`; 0 beyond the last.
    pub(super) fn get(&self, index: u32) -> u64 {
        if index >= self.count {
            return 0;
        }
        // SAFETY: the word is one of those that are mapped, and aligned; the probes write to it meanwhile.
        #[expect(unsafe_code, reason = "the kernel writes there")]
        unsafe {
            self.words.add(index as usize).read_volatile()
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: nobody reads it any more.
        #[expect(unsafe_code, reason = "unmapping memory")]
        let _ = unsafe { munmap(self.words.cast_mut().cast(), length(self.count)) };
    }
}

fn length(count: u32) -> usize {
    count as usize * size_of::<u64>()
}
