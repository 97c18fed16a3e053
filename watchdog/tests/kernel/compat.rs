//! A 32-bit program's calls mean something else: they are counted, not guessed at.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use watchdog::source::LossReason;

use crate::bench::{run, sites};
use crate::call::{in_another_process, sys};
use crate::site::path;
use crate::watched::Watched;

/// Where the program is loaded.
const BASE: u32 = 0x0804_8000;
const HEADERS: u32 = 52 + 32;

/// `open`, `creat` and `openat` a state file as a 32-bit program, and end with 0 if that worked.
fn program(state: &[u8]) -> Vec<u8> {
    const OPEN: u32 = 5;
    const CREAT: u32 = 8;
    const OPENAT: u32 = 295;
    const AT_FDCWD: u32 = (-100_i32).cast_unsigned();
    let code = |text: u32| {
        let mut code = Vec::new();
        // Each: mov eax, number; mov ebx, mov ecx, mov edx, arguments; int 0x80; test eax, eax; js to the end
        // with eax as it is.
        for [number, first, second, third] in
            [[OPEN, text, 0, 0], [CREAT, text, 0o600, 0], [OPENAT, AT_FDCWD, text, 0]]
        {
            for (register, value) in [(0xb8, number), (0xbb, first), (0xb9, second), (0xba, third)] {
                code.push(register);
                code.extend(value.to_le_bytes());
            }
            code.extend([0xcd, 0x80, 0x85, 0xc0, 0x78, 0x00]);
        }
        // xor ebx, ebx; jmp over; failed: mov ebx, 1; over: mov eax, 1; int 0x80
        let failed = code.len() + 4;
        code.extend([0x31, 0xdb, 0xeb, 0x05, 0xbb, 1, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
        for call in 0..3 {
            let jump = 26 * (call + 1);
            code[jump - 1] = u8::try_from(failed - jump).unwrap();
        }
        code
    };
    let length = u32::try_from(code(0).len()).unwrap();
    let body = [code(BASE + HEADERS + length), state.to_vec(), vec![0]].concat();
    let size = HEADERS + u32::try_from(body.len()).unwrap();
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // e_type ET_EXEC, e_machine EM_386, e_version; e_entry, e_phoff, e_shoff, e_flags; sizes and counts.
    elf.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    elf.extend([BASE + HEADERS, 52, 0, 0].map(u32::to_le_bytes).concat());
    elf.extend([52_u16, 32, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    // One segment: PT_LOAD, the whole file, readable and executable.
    elf.extend([1, 0, BASE, BASE, size, size, 5, 0x1000].map(u32::to_le_bytes).concat());
    assert_eq!(elf.len(), HEADERS as usize);
    elf.extend(body);
    elf
}

#[test]
fn the_opens_of_a_32_bit_program_are_counted_or_seen() {
    for site in sites() {
        let file = site.base().join("program");
        fs::write(&file, program(site.path("a/state.test").as_bytes())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        let calls = || {
            let status = in_another_process(|| {
                let file = path(&file);
                let arguments = [file.as_ptr(), std::ptr::null()];
                sys!(SYS_execve, file, arguments.as_ptr(), 0);
            });
            assert_eq!(status, 0, "the 32-bit program did not run (CONFIG_IA32_EMULATION)");
        };
        let story = run(&site, |_| calls());
        if Watched::knows_paths() {
            // What any program does comes through the functions of the VFS.
            let opens = story.lines.iter().filter(|line| line.starts_with("q open a/state.test"));
            assert_eq!(opens.count(), 3, "{:?}", story.lines);
            assert_eq!(story.losses.get(LossReason::Compat), 0);
            continue;
        }
        assert!(story.lines.is_empty(), "{:?}", story.lines);
        assert_eq!(story.losses.get(LossReason::Compat), 3);
    }
}
