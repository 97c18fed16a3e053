//! How each way is gone. A save leaves the file empty for a moment and whole in the end.
#![expect(unsafe_code, reason = "mappings and handles have no safe form")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use crate::program::Program;
use crate::site::{Site, document};
use crate::ways::Early;

pub(crate) fn nothing(_: &Site, _: &str) -> Early {
    None
}

/// A container like any other.
pub(crate) fn plain(site: &Site, container: &str) -> Early {
    site.make(container);
    None
}

/// The same, and somebody has it open.
pub(crate) fn held(site: &Site, container: &str) -> Early {
    Some(File::options().read(true).write(true).open(site.make(container)).unwrap())
}

pub(crate) fn link_before(site: &Site, container: &str) -> Early {
    fs::hard_link(site.make(container), site.outside(container)).unwrap();
    None
}

pub(crate) fn link_elsewhere(site: &Site, container: &str) -> Early {
    let target = site.outside(&format!("{container}.json"));
    fs::write(&target, document(0)).unwrap();
    fs::create_dir(site.directory(container)).unwrap();
    symlink(target, site.state(container)).unwrap();
    None
}

pub(crate) fn link_data(site: &Site, container: &str) -> Early {
    let directory = site.directory(container);
    fs::create_dir_all(directory.join("..v1")).unwrap();
    fs::write(directory.join("..v1/state.json"), document(0)).unwrap();
    symlink("..v1", directory.join("..data")).unwrap();
    symlink("..data/state.json", site.state(container)).unwrap();
    None
}

pub(crate) fn link_directory(site: &Site, container: &str) -> Early {
    let target = site.outside(container);
    fs::create_dir(&target).unwrap();
    fs::write(target.join("state.json"), document(0)).unwrap();
    symlink(target, site.directory(container)).unwrap();
    None
}

/// Empties the file, and writes it anew.
fn save(mut file: &File) {
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    file.write_all(&document(1)).unwrap();
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

pub(crate) fn by_name(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    fs::write(site.state(container), document(1)).unwrap();
    Some(())
}

pub(crate) fn through_held(_: &Site, _: &Program, _: &str, early: Early) -> Option<()> {
    save(&early.unwrap());
    Some(())
}

pub(crate) fn inherited(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let file = open(&site.state(container));
    file.set_len(0).unwrap();
    let content = site.outside("content");
    fs::write(&content, document(1)).unwrap();
    let mut writer = Command::new("cat").arg(content).stdout(Stdio::from(file)).spawn().unwrap();
    assert!(writer.wait().unwrap().success());
    Some(())
}

pub(crate) fn by_handle(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        room: [u8; 128],
    }
    let mut handle = Handle { bytes: 128, kind: 0, room: [0; 128] };
    let (path, mut mount) = (text(&site.state(container)), 0_i32);
    let root = File::open(site.root()).unwrap();
    // SAFETY: the handle has as much room as it says, and all addresses live through the calls.
    let file = unsafe {
        let (at, path) = (libc::AT_FDCWD, path.as_ptr());
        let told = libc::syscall(libc::SYS_name_to_handle_at, at, path, &raw mut handle, &raw mut mount, 0);
        assert_eq!(told, 0, "{}", std::io::Error::last_os_error());
        libc::syscall(libc::SYS_open_by_handle_at, root.as_raw_fd(), &raw const handle, libc::O_RDWR)
    };
    assert!(file >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the descriptor was just made, and nobody else knows it.
    save(&unsafe { std::os::fd::FromRawFd::from_raw_fd(i32::try_from(file).unwrap()) });
    Some(())
}

/// Cuts the file by its path, and lets a whole one take its place later.
fn truncate(path: &Path) {
    let path = text(path);
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::truncate(path.as_ptr(), 0) }, 0);
}

/// Writes a whole file again where nothing is to be left damaged.
fn mend(site: &Site, container: &str) {
    crate::site::replace(&site.state(container), &document(2));
}

pub(crate) fn truncate_by_name(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    truncate(&site.state(container));
    mend(site, container);
    Some(())
}

pub(crate) fn truncate_by_link(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let link = site.outside("link");
    let _ = fs::remove_file(&link);
    symlink(site.state(container), &link).unwrap();
    truncate(&link);
    mend(site, container);
    Some(())
}

pub(crate) fn truncate_by_descriptor(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let file = File::open(site.state(container)).unwrap();
    truncate(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())));
    mend(site, container);
    Some(())
}

/// Maps the file, shared, and stores through it.
fn map(file: &File, first: ProtFlags, later: Option<MprotectFlags>) {
    // SAFETY: a mapping of its own, as long as the file, that nobody refers to afterwards.
    unsafe {
        let address = rustix::mm::mmap(ptr::null_mut(), 3_000, first, MapFlags::SHARED, file, 0).unwrap();
        if let Some(later) = later {
            rustix::mm::mprotect(address, 3_000, later).unwrap();
        }
        address.cast::<u8>().add(20).write_volatile(b'1');
        rustix::mm::munmap(address, 3_000).unwrap();
    }
}

pub(crate) fn mapped(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    map(&open(&site.state(container)), ProtFlags::READ | ProtFlags::WRITE, None);
    Some(())
}

pub(crate) fn mapped_later(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let later = MprotectFlags::READ | MprotectFlags::WRITE;
    map(&open(&site.state(container)), ProtFlags::READ, Some(later));
    Some(())
}

pub(crate) fn copied(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let source = site.outside("source");
    fs::write(&source, document(1)).unwrap();
    let (source, file) = (File::open(source).unwrap(), open(&site.state(container)));
    let copied = rustix::fs::copy_file_range(&source, None, &file, None, document(1).len()).unwrap();
    assert_eq!(copied, document(1).len());
    Some(())
}

pub(crate) fn linked(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    fs::hard_link(site.state(container), site.outside(container)).unwrap();
    save(&open(&site.outside(container)));
    Some(())
}

pub(crate) fn through_link(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    save(&open(&site.outside(container)));
    Some(())
}

fn mount(arguments: &[&str], directory: &Path) {
    assert!(Command::new("mount").args(arguments).arg(directory).status().unwrap().success());
}

/// A mount that goes with the test.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(crate) fn mounted(site: &Site, agent: &Program, container: &str, _: Early) -> Option<()> {
    let directory = site.directory(container);
    fs::create_dir(&directory).unwrap();
    mount(&["-t", "tmpfs", "none"], &directory);
    let mounted = Mounted(directory);
    over_a_mount(site, agent, container);
    drop(mounted);
    Some(())
}

pub(crate) fn bound(site: &Site, agent: &Program, container: &str, _: Early) -> Option<()> {
    let (directory, target) = (site.directory(container), site.outside(container));
    for directory in [&directory, &target] {
        fs::create_dir(directory).unwrap();
    }
    mount(&["--bind", target.to_str().unwrap()], &directory);
    let mounted = Mounted(directory);
    over_a_mount(site, agent, container);
    drop(mounted);
    Some(())
}

/// On a file system of its own that knows reflinks.
pub(crate) fn cloned(site: &Site, agent: &Program, container: &str, _: Early) -> Option<()> {
    let (image, directory) = (site.outside("image"), site.directory(container));
    File::create(&image).unwrap().set_len(512 << 20).unwrap();
    let made = Command::new("mkfs.btrfs").args(["--quiet", "--force"]).arg(&image).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("no file system with reflinks can be made: mkfs.btrfs is missing");
        return None;
    }
    fs::create_dir(&directory).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "btrfs", "-o", "loop"]).arg(&image).arg(&directory).status();
    if !mounted.unwrap().success() {
        eprintln!("no file system with reflinks can be mounted");
        return None;
    }
    let mounted = Mounted(directory.clone());
    let source = directory.join("source");
    fs::write(&source, document(1)).unwrap();
    File::open(&source).unwrap().sync_all().unwrap();
    crate::site::replace(&site.state(container), &document(0));
    site.settle(agent);
    let (source, file) = (File::open(&source).unwrap(), open(&site.state(container)));
    rustix::fs::ioctl_ficlone(&file, &source).unwrap();
    drop((source, file, mounted));
    Some(())
}

/// Saves behind a mount that the agent has had time to find: it looks once a second, and not at what was there for less.
fn over_a_mount(site: &Site, agent: &Program, container: &str) {
    crate::site::replace(&site.state(container), &document(0));
    site.settle(agent);
    fs::write(site.state(container), document(1)).unwrap();
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn int80(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    crate::thirty_two::save(&text(&site.state(container)), &document(1))
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn int80(_: &Site, _: &Program, _: &str, _: Early) -> Option<()> {
    None
}

pub(crate) fn read_torn(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let path = site.state(container);
    met_empty(&path, || assert!(fs::read(&path).unwrap().is_empty()));
    Some(())
}

pub(crate) fn read_linked(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let other = site.outside(container);
    met_empty(&site.state(container), || assert!(fs::read(&other).unwrap().is_empty()));
    Some(())
}

/// Another program reads through a descriptor that it did not open.
pub(crate) fn read_inherited(site: &Site, _: &Program, container: &str, _: Early) -> Option<()> {
    let path = site.state(container);
    let file = File::open(&path).unwrap();
    met_empty(&path, || {
        let mut reader = Command::new("cat").stdin(Stdio::from(file)).stdout(Stdio::piped()).spawn().unwrap();
        let mut got = Vec::new();
        reader.stdout.take().unwrap().read_to_end(&mut got).unwrap();
        assert!(reader.wait().unwrap().success() && got.is_empty());
    });
    Some(())
}

/// Reads while a save has emptied the file.
fn met_empty(path: &Path, read: impl FnOnce()) {
    let mut file = open(path);
    file.set_len(0).unwrap();
    read();
    file.write_all(&document(1)).unwrap();
}

fn text(path: &Path) -> std::ffi::CString {
    std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap()
}
