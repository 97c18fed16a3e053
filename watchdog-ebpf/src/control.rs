//! The agent's questions, which arrive as arguments of its fsync or fallocate calls.

use watchdog_common::{Command, Identity, split_argument};

use crate::{
    aliases, files,
    kernel::{self, File},
    maps::IDENTITY,
    opens::{self, Releases},
    registers::Registers,
    settings::{self, setting},
};

/// Carries out a command; false when the call is an ordinary fsync.
#[inline(always)]
pub(crate) fn run(registers: Registers) -> bool {
    if registers.argument(1) != setting!(key) {
        return false;
    }
    match Command::from_u64(registers.argument(2)) {
        Some(Command::Hello) => settings::set_agent((kernel::thread() >> 32) as u32),
        Some(Command::Identify) => {
            if let Some(file) = descriptor(registers) {
                identify(file);
            }
        }
        Some(Command::Poll) => answer(registers.argument(3)),
        Some(Command::Report) => opens::report_again(registers.argument(3)),
        Some(Command::Track) => {
            if let Some(file) = descriptor(registers) {
                opens::take_over(file, registers.argument(3), Releases::Asked);
            }
        }
        Some(Command::Adopt) => {
            if let Some(file) = descriptor(registers) {
                aliases::adopt(file.inode(), registers.argument(3) as u16);
            }
        }
        None => {}
    }
    true
}

/// What stands behind the descriptor that the agent asks about. It is no argument that the kernel's own fsync reads: that would
/// write out the file, and wait for it.
#[inline(always)]
fn descriptor(registers: Registers) -> Option<File> {
    File::of_descriptor(registers.argument(4) as i32)
}

/// The same as an argument of fallocate, whose own descriptor is any.
#[inline(always)]
pub(crate) fn run_packed(command: u64, key: u64, argument: u64) {
    if key != setting!(key) {
        return;
    }
    let Some(command) = Command::from_u64(command) else { return };
    match command {
        Command::Hello => settings::set_agent((kernel::thread() >> 32) as u32),
        Command::Poll => answer(argument),
        Command::Report => opens::report_again(argument),
        Command::Identify | Command::Track | Command::Adopt => {
            let (fd, argument) = split_argument(argument);
            let Some(file) = File::of_descriptor(fd) else { return };
            match command {
                Command::Identify => identify(file),
                Command::Track => opens::take_over(file, argument, Releases::Seen),
                _ => aliases::adopt(file.inode(), argument as u16),
            }
        }
    }
}

#[inline(always)]
fn answer(file: u64) {
    answer_poll(file);
}

/// A function of its own, with numbers alone for arguments, is verified once and not again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn answer_poll(file: u64) -> u64 {
    files::answer(File(file));
    0
}

#[inline(always)]
fn identify(file: File) {
    let is_named = u64::from(opens::remember(file));
    let Some(answer) = IDENTITY.get_ptr_mut(0) else { return };
    // SAFETY: only the agent's one thread asks, and it waits for the answer.
    unsafe {
        let serial = (*answer).serial + 1;
        *answer = Identity { key: file.inode().key(), is_named, serial };
    }
}
