//! What an operation on a foreign file may have to wait for.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::LazyLock;

/// Something that may never answer, and that many paths may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// A mounted file system, by its device number.
    Device(u32, u32),
    /// One path or name: a mount point that is about to be crossed, the root of a walk.
    Name(u64),
    /// A process's memory.
    Process(u32),
    /// One of the few threads that may work for long.
    Heavy,
}

impl Whereabouts {
    /// A path that is opened in one step.
    #[must_use]
    pub fn path(path: &Path) -> Self {
        Self::Name(NUMBERS.hash_one(path))
    }

    /// A name in a directory of this device.
    #[must_use]
    pub(super) fn name(device: (u32, u32), name: &std::ffi::OsStr) -> Self {
        Self::Name(NUMBERS.hash_one((device, name)))
    }
}

/// Nobody can foresee which names get the same number.
static NUMBERS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Is asked before each operation that may wait, and may refuse it.
pub trait Gate {
    /// The next operations may wait for this.
    ///
    /// # Errors
    /// Others wait for it already, or it is known not to answer.
    fn enter(&self, whereabouts: Whereabouts) -> io::Result<()>;

    /// Is asked before a mount point is crossed.
    ///
    /// # Errors
    /// The caller must not leave the file system that it is in.
    fn cross(&self) -> io::Result<()> {
        Ok(())
    }

    /// Reports that the operation has ended, and that what follows waits for nobody.
    fn pass(&self) {}

    /// Reports that another operation begins at the same place.
    fn again(&self) {}

    /// Reports that the caller goes on without what was refused.
    fn skip(&self) {}

    /// Is asked before work that takes long although it waits for nobody.
    ///
    /// # Errors
    /// Others do such work already.
    fn heavy(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the caller on the file system where it began, so that it waits for no other.
#[derive(Clone, Copy, Debug)]
pub struct Within;

impl Gate for Within {
    fn enter(&self, _: Whereabouts) -> io::Result<()> {
        Ok(())
    }

    fn cross(&self) -> io::Result<()> {
        Err(io::ErrorKind::CrossesDevices.into())
    }
}

/// Lets everybody pass, for programs that do nothing else meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Ungated;

impl Gate for Ungated {
    fn enter(&self, _: Whereabouts) -> io::Result<()> {
        Ok(())
    }
}
