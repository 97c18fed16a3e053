//! 32-bit calls by a 64-bit program.
#![expect(unsafe_code, reason = "there is no other way to make such a call")]

use std::arch::asm;
use std::ffi::CStr;
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags};

const OPEN: u64 = 5;
const WRITE: u64 = 4;
const CLOSE: u64 = 6;
const FTRUNCATE: u64 = 93;

/// Empties the file and writes it anew; `None` where the kernel has no such calls.
pub(crate) fn save(path: &CStr, content: &[u8]) -> Option<()> {
    const ROOM: usize = 16 << 10;
    let low = MapFlags::PRIVATE | MapFlags::from_bits_retain(libc::MAP_32BIT.cast_unsigned());
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a mapping of its own below 4 GiB, where such calls find their arguments, with room for both.
    unsafe {
        let room = rustix::mm::mmap_anonymous(ptr::null_mut(), ROOM, protection, low).unwrap().cast::<u8>();
        let (path, data) = (path.to_bytes_with_nul(), room.add(4 << 10));
        assert!(path.len() < 4 << 10 && content.len() < 12 << 10);
        room.copy_from_nonoverlapping(path.as_ptr(), path.len());
        data.copy_from_nonoverlapping(content.as_ptr(), content.len());
        let file = call(OPEN, room as u64, 2, 0);
        if file < 0 {
            eprintln!("open by int 0x80 failed: {file}");
            return None;
        }
        let file = file.cast_unsigned();
        assert_eq!(call(FTRUNCATE, file, 0, 0), 0);
        assert_eq!(call(WRITE, file, data as u64, content.len() as u64), content.len() as i64);
        assert_eq!(call(CLOSE, file, 0, 0), 0);
        rustix::mm::munmap(room.cast(), ROOM).unwrap();
    }
    Some(())
}

/// # Safety
///
/// Addresses must be valid for the call.
unsafe fn call(number: u64, first: u64, second: u64, third: u64) -> i64 {
    let result: i32;
    // SAFETY: see the caller. rbx is the compiler's own, so the first argument is exchanged with it for the call.
    unsafe {
        asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) first => _,
            inlateout("eax") number as u32 => result,
            in("rcx") second,
            in("rdx") third,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result.into()
}
