//! Descriptors that only stand for a place, and the steps from one to the next.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::{Gate, Whereabouts};

/// At most so many symbolic links are followed on the way to one file, as the kernel does it.
const MAX_LINKS: usize = 40;
/// At most so many directories are held open on the way to one file.
const MAX_DEPTH: usize = 64;
/// Opens no file, only its place.
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Never opened; in words.
    Other(&'static str),
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Other("a FIFO"),
            FileType::Socket => Self::Other("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Self::Other("a device"),
            FileType::Unknown => Self::Other("something unknown"),
        }
    }

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Link => "a symbolic link, which is not followed",
            Self::Other(name) => name,
        }
    }
}

/// A directory that names are looked up in.
pub struct Directory<'g> {
    place: OwnedFd,
    device: (u32, u32),
    gate: &'g dyn Gate,
}

/// What stands at a name, not opened.
pub struct Node<'g> {
    place: OwnedFd,
    device: (u32, u32),
    kind: Kind,
    gate: &'g dyn Gate,
}

/// What a path of the host leads to, if it is no directory.
pub struct Reached<'g> {
    /// What it is.
    pub node: Node<'g>,
    /// Where it stands.
    pub directory: Directory<'g>,
    /// The path on the host, without links.
    pub path: PathBuf,
    /// A link stood at the path's last name.
    pub is_link: bool,
}

/// The path of the regular file that a path of the host leads to, links followed, as this process opens it. `top` is the
/// host's `/`.
///
/// # Errors
/// No regular file stands there, or the gate refuses.
pub fn regular_file(top: &Path, path: &Path, gate: &dyn Gate) -> io::Result<PathBuf> {
    let reached = Directory::open(top, gate)?.reach(path)?;
    if reached.node.kind() != Kind::File {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(top.join(reached.path.strip_prefix("/").unwrap_or(&reached.path)))
}

/// The directories on the way to a file.
struct Directories<'g> {
    top: Directory<'g>,
    above: Vec<Directory<'g>>,
    /// Of the top one, on the host.
    path: PathBuf,
}

/// A name that leads to no directory, what stands there, and whether a link led there.
type Last<'g> = (OsString, Node<'g>, bool);

impl<'g> Directories<'g> {
    fn enter(&mut self, name: &OsStr, directory: Directory<'g>) -> io::Result<()> {
        if self.above.len() + 1 >= MAX_DEPTH {
            return Err(Errno::NAMETOOLONG.into());
        }
        self.above.push(std::mem::replace(&mut self.top, directory));
        self.path.push(name);
        Ok(())
    }

    /// Goes one up; false at the host's `/`.
    fn leave(&mut self) -> bool {
        let Some(above) = self.above.pop() else { return false };
        self.top = above;
        self.path.pop();
        true
    }
}

/// A step on the way down.
enum Step {
    Up,
    Into(OsString),
}

impl<'g> Directory<'g> {
    /// Opens a directory by a path that the configuration names. The kernel follows links on the way.
    ///
    /// # Errors
    /// No directory stands there, or the gate refuses.
    pub fn open(path: &Path, gate: &'g dyn Gate) -> io::Result<Self> {
        gate.enter(Whereabouts::path(path))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::open(path, flags, Mode::empty())?;
        let device = device_of(&place)?;
        gate.enter(Whereabouts::Device(device.0, device.1))?;
        Ok(Self { place, device, gate })
    }

    /// Finds what stands at a name in this directory. A link is not followed.
    ///
    /// # Errors
    /// Nothing stands there, the name is none, or the gate refuses.
    pub fn child(&self, name: &OsStr) -> io::Result<Node<'g>> {
        if name.as_encoded_bytes().contains(&b'/') || matches!(name.to_str(), Some("" | "." | "..")) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let within = Whereabouts::Device(self.device.0, self.device.1);
        self.gate.enter(within)?;
        let place = match self.step_within(name) {
            Ok(place) => place,
            Err(error @ (Errno::XDEV | Errno::NOSYS)) => {
                // A mount point, or a kernel that cannot say whether it is one.
                if error == Errno::XDEV {
                    self.gate.cross()?;
                }
                self.gate.enter(Whereabouts::name(self.device, name))?;
                rustix::fs::openat(&self.place, name, PLACE, Mode::empty())?
            }
            Err(error) => return Err(error.into()),
        };
        let device = device_of(&place)?;
        self.gate.enter(Whereabouts::Device(device.0, device.1))?;
        // The type never changes, so the file system need not be asked again.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let found = rustix::fs::statx(&place, "", flags, StatxFlags::TYPE)?;
        let kind = Kind::of(FileType::from_raw_mode(found.stx_mode.into()));
        Ok(Node { place, device, kind, gate: self.gate })
    }

    /// Finds a directory below this one. Links are not followed.
    ///
    /// # Errors
    /// None stands there, the path is not a plain relative one, or the gate refuses.
    pub fn below(self, relative: &Path) -> io::Result<Self> {
        let mut directory = self;
        for component in relative.components() {
            let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
            directory = directory.child(name)?.into_directory()?;
        }
        Ok(directory)
    }

    /// Finds a directory of the host whose `/` this is. Links lead where they lead on the host; `..` cannot lead out.
    ///
    /// # Errors
    /// None stands there, links lead in a circle, or the gate refuses.
    pub fn on_host(self, path: &Path) -> io::Result<Self> {
        match self.follow(path)? {
            (directories, None) => Ok(directories.top),
            (_, Some(_)) => Err(Errno::NOTDIR.into()),
        }
    }

    /// Finds what is no directory on the host whose `/` this is. Links lead where they lead on the host, the last one
    /// included; `..` cannot lead out.
    ///
    /// # Errors
    /// Nothing stands there, or a directory, links lead in a circle, or the gate refuses.
    pub fn reach(self, path: &Path) -> io::Result<Reached<'g>> {
        let (Directories { top, path, .. }, node) = self.follow(path)?;
        let (name, node, is_link) = node.ok_or(Errno::ISDIR)?;
        Ok(Reached { path: path.join(name), directory: top, node, is_link })
    }

    /// Follows a path to its end: the directories on the way, and what is none.
    fn follow(self, path: &Path) -> io::Result<(Directories<'g>, Option<Last<'g>>)> {
        let mut stack = Directories { top: self, above: Vec::new(), path: PathBuf::from("/") };
        let mut ahead: Vec<Step> = steps(path).rev().collect();
        let (mut links, mut is_link) = (0, false);
        while let Some(step) = ahead.pop() {
            let name = match step {
                Step::Up => {
                    stack.leave();
                    continue;
                }
                Step::Into(name) => name,
            };
            let node = stack.top.child(&name)?;
            match node.kind {
                Kind::Link => {}
                Kind::File | Kind::Other(_) if ahead.is_empty() => {
                    return Ok((stack, Some((name, node, is_link))));
                }
                Kind::Directory | Kind::File | Kind::Other(_) => {
                    stack.enter(&name, node.into_directory()?)?;
                    continue;
                }
            }
            is_link |= ahead.is_empty();
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = node.target()?;
            if Path::new(&target).is_absolute() {
                while stack.leave() {}
            }
            ahead.extend(steps(Path::new(&target)).rev());
        }
        Ok((stack, None))
    }

    /// Does not cross a mount point: the kernel says so before it asks what is mounted there.
    fn step_within(&self, name: &OsStr) -> Result<OwnedFd, Errno> {
        static MISSING: AtomicBool = AtomicBool::new(false);
        if MISSING.load(Ordering::Relaxed) {
            return Err(Errno::NOSYS);
        }
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let result = rustix::fs::openat2(&self.place, name, PLACE, Mode::empty(), resolve);
        // Before 5.6 there is no such call; EPERM comes from a filter of system calls, never from O_PATH.
        if matches!(result, Err(Errno::NOSYS | Errno::PERM)) {
            MISSING.store(true, Ordering::Relaxed);
            return Err(Errno::NOSYS);
        }
        result
    }

    /// The descriptor: it stands for the place, and cannot be read.
    #[must_use]
    pub fn place(&self) -> &OwnedFd {
        &self.place
    }

    /// Opens the directory for reading.
    ///
    /// # Errors
    /// It may not be read.
    pub fn open_for_reading(&self) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

impl<'g> Node<'g> {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What operations on it may have to wait for.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts::Device(self.device.0, self.device.1)
    }

    /// The numbers of the device that it is on.
    #[must_use]
    pub fn device(&self) -> (u32, u32) {
        self.device
    }

    /// The directory that it is.
    ///
    /// # Errors
    /// It is none.
    pub fn into_directory(self) -> io::Result<Directory<'g>> {
        let Self { place, device, kind, gate } = self;
        match kind {
            Kind::Directory => Ok(Directory { place, device, gate }),
            Kind::Link => Err(Errno::LOOP.into()),
            Kind::File | Kind::Other(_) => Err(Errno::NOTDIR.into()),
        }
    }

    /// Opens the regular file that it is. Nothing here waits for a lease to be given up.
    ///
    /// # Errors
    /// It is none, or it may not be read.
    pub fn open(&self) -> io::Result<(File, Metadata)> {
        if self.kind != Kind::File {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let path = format!("/proc/self/fd/{}", self.place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// The place as a file that cannot be read.
    #[must_use]
    pub fn into_file(self) -> File {
        self.place.into()
    }

    fn target(&self) -> io::Result<OsString> {
        let target = rustix::fs::readlinkat(&self.place, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }
}

/// The device number, from what the kernel knows without asking the file system.
fn device_of(place: &impl AsFd) -> io::Result<(u32, u32)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(place, "", flags, StatxFlags::empty())?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

fn steps(path: &Path) -> impl DoubleEndedIterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::ParentDir => Some(Step::Up),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::super::{Ungated, Within};
    use super::*;

    fn fixture() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for directory in ["run/runc/abc", "var/lib", "data/docker/containers"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for (target, link) in [
            ("/run", "var/run"),
            ("/data/docker", "var/lib/docker"),
            ("../../run/runc", "var/lib/relative"),
            ("../../../../../../run", "var/lib/climber"),
            ("/var/lib/round", "var/lib/about"),
            ("about", "var/lib/round"),
            ("/nowhere", "run/dangling"),
            ("abc", "run/runc/link"),
            ("/etc/passwd", "run/runc/abc/state.json"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        fs::write(at("run/file"), "{}").unwrap();
        folder
    }

    fn errno<T>(result: io::Result<T>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    fn real(directory: &Directory<'_>) -> PathBuf {
        fs::read_link(format!("/proc/self/fd/{}", directory.place().as_raw_fd())).unwrap()
    }

    #[test]
    fn links_lead_where_they_lead_on_the_host() {
        let folder = fixture();
        let top = || Directory::open(folder.path(), &Ungated).unwrap();
        for (path, expected) in [
            ("/run/runc", "run/runc"),
            ("/var/run/runc", "run/runc"),
            ("/var/lib/docker/containers", "data/docker/containers"),
            ("/var/lib/relative/abc", "run/runc/abc"),
            ("/var/lib/climber/runc", "run/runc"),
            ("/var/run/../data", "data"),
            ("/../../run", "run"),
            ("/", ""),
        ] {
            let found = top().on_host(Path::new(path)).unwrap();
            let expected = folder.path().canonicalize().unwrap().join(expected);
            assert_eq!(real(&found), expected.components().collect::<PathBuf>(), "{path}");
        }
        for (path, error) in [
            ("/var/lib/round", libc::ELOOP),
            ("/run/dangling", libc::ENOENT),
            ("/run/file/deeper", libc::ENOTDIR),
            ("/run/none", libc::ENOENT),
        ] {
            assert_eq!(errno(top().on_host(Path::new(path))), Some(error), "{path}");
        }
    }

    #[test]
    fn below_a_root_no_link_is_followed() {
        let folder = fixture();
        let root = || Directory::open(&folder.path().join("run/runc"), &Ungated).unwrap();
        assert!(root().below(Path::new("abc")).is_ok());
        assert_eq!(errno(root().below(Path::new("link"))), Some(libc::ELOOP));
        for path in ["..", "/", "abc/../abc", "/etc"] {
            assert!(root().below(Path::new(path)).is_err(), "{path}");
        }
        let node = root().below(Path::new("abc")).unwrap().child(OsStr::new("state.json")).unwrap();
        assert_eq!(node.kind(), Kind::Link);
        assert!(node.open().is_err());
    }

    #[test]
    fn a_regular_file_is_opened_and_nothing_else() {
        let folder = fixture();
        let fifo = folder.path().join("run/fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let run = Directory::open(&folder.path().join("run"), &Ungated).unwrap();
        let (mut file, metadata) = run.child(OsStr::new("file")).unwrap().open().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), metadata.len()), ("{}", 2));
        // Opened for reading, a FIFO without a writer would block here for ever.
        assert!(run.child(OsStr::new("fifo")).unwrap().open().is_err());
        let devices = Directory::open(Path::new("/dev"), &Ungated).unwrap();
        let null = devices.child(OsStr::new("null")).unwrap();
        assert_eq!(null.kind(), Kind::Other("a device"));
        assert!(null.open().is_err());
    }

    #[test]
    fn who_stays_within_a_file_system_crosses_no_mount_point() {
        let top = Directory::open(Path::new("/"), &Within).unwrap();
        let refused = top.child(OsStr::new("proc")).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::CrossesDevices);
        assert!(top.child(OsStr::new("etc")).is_ok());
    }

    #[test]
    fn a_mount_point_is_a_step_of_its_own() {
        #[derive(Default)]
        struct Log(std::cell::RefCell<Vec<Whereabouts>>);
        impl Gate for Log {
            fn enter(&self, whereabouts: Whereabouts) -> io::Result<()> {
                self.0.borrow_mut().push(whereabouts);
                Ok(())
            }
        }
        let log = Log::default();
        let top = Directory::open(Path::new("/"), &log).unwrap();
        let before = top.device;
        let proc = top.child(OsStr::new("proc")).unwrap();
        assert_ne!(proc.device, before);
        let within = |device: (u32, u32)| Whereabouts::Device(device.0, device.1);
        let crossing = Whereabouts::name(before, OsStr::new("proc"));
        let expected = [
            Whereabouts::path(Path::new("/")),
            within(before),
            within(before),
            crossing,
            within(proc.device),
        ];
        assert_eq!(*log.0.borrow(), expected);
    }
}
