//! A reader that maps the file. When the file is cut short below the mapping, the kernel kills it by SIGBUS; its record is
//! made beforehand, and a handler prints it.

use std::{fs::File, io, path::Path, sync::OnceLock};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use workload::{Content, ReadRecord, Style};

use crate::{process, read::Got};

/// The record of a reader that was killed.
static LAST_WORDS: OnceLock<String> = OnceLock::new();

/// Maps the file and copies what it shows, after `wait`.
pub(crate) fn read(file: &Path, begin: u64, wait: impl FnOnce()) -> io::Result<Got> {
    let source = File::open(file)?;
    let length = usize::try_from(source.metadata()?.len()).unwrap_or(0);
    let mut got = Got { end_of_file: true, ..Got::default() };
    if length == 0 {
        return Ok(got);
    }
    let record = ReadRecord {
        pid: std::process::id(),
        style: Style::Mapped,
        content: Content::Killed,
        generation: None,
        bytes: 0,
        calls: 0,
        first_end: 0,
        parsed: false,
        begin,
        end: begin,
    };
    LAST_WORDS.get_or_init(|| serde_json::to_string(&record).unwrap_or_default() + "\n");
    got.bytes = copy(&source, length, wait)?;
    got.first_end = process::now();
    Ok(got)
}

#[expect(unsafe_code, reason = "memory that another process may cut short has no safe door")]
fn copy(source: &File, length: usize, wait: impl FnOnce()) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    // SAFETY: the handler calls write, signal, raise and nothing else, all of which are allowed in a handler; the mapping is new,
    // `length` bytes long and never unmapped, and what is read from it goes byte by byte through volatile loads, so it
    // does not matter that others change it. A load behind the file's end ends the process.
    unsafe {
        libc::signal(libc::SIGBUS, say_and_die as *const () as libc::sighandler_t);
        let address = mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, source, 0)?;
        wait();
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = address.cast::<u8>().add(at).read_volatile();
        }
    }
    Ok(bytes)
}

/// Prints the record, and dies at its return: the repeated load alone would not kill if the file has grown meanwhile.
#[expect(unsafe_code, reason = "a signal handler may call system calls and not much else")]
extern "C" fn say_and_die(_signal: libc::c_int) {
    if let Some(words) = LAST_WORDS.get() {
        // SAFETY: both are async-signal-safe, and the text lives as long as the process.
        unsafe {
            libc::write(1, words.as_ptr().cast(), words.len());
        }
    }
    // SAFETY: both are async-signal-safe.
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        libc::raise(libc::SIGBUS);
    }
}
