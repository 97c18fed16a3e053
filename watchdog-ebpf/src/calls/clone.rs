//! Reflinks: a file takes over another one's bytes without a write. FIDEDUPERANGE is none of them: it shares only bytes that
//! are equal already.

use crate::{
    kernel::{File, user_word},
    registers::Registers,
};

/// include/uapi/linux/fs.h, 5.10 to 7.2.
const FICLONE: u64 = 0x4004_9409;
const FICLONERANGE: u64 = 0x4020_940d;

/// Whether the ioctl is a reflink.
#[inline(always)]
pub(super) fn is_one(registers: Registers) -> bool {
    matches!(request(registers), FICLONE | FICLONERANGE)
}

/// The descriptor whose bytes are taken over.
#[inline(always)]
pub(super) fn source(registers: Registers) -> u64 {
    if request(registers) == FICLONE { registers.argument(2) } else { user_word(registers.argument(2)) }
}

/// Where the range begins in the source and in the other file.
#[inline(always)]
pub(super) fn positions(registers: Registers) -> (u64, u64) {
    if request(registers) == FICLONE {
        return (0, 0);
    }
    // `struct file_clone_range`: descriptor, offset, length, the other file's offset.
    let range = registers.argument(2);
    (user_word(range + 8), user_word(range + 24))
}

/// How long the range is; 0 in the call stands for all up to the source's end.
#[inline(always)]
pub(super) fn length(registers: Registers) -> u64 {
    let given = if request(registers) == FICLONE { 0 } else { user_word(registers.argument(2) + 16) };
    if given != 0 {
        return given;
    }
    let size = File::of_descriptor(source(registers) as i32).map_or(0, |file| file.inode().size());
    size.saturating_sub(positions(registers).0)
}

/// The kernel takes 32 bits of it.
#[inline(always)]
fn request(registers: Registers) -> u64 {
    registers.argument(1) & 0xffff_ffff
}
