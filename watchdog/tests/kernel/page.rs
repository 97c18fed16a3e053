//! A page of memory whose first use waits until it is filled, so that a call with an argument there waits within the kernel for
//! as long as a case needs it to.

use libc::{MAP_ANONYMOUS, MAP_PRIVATE, O_CLOEXEC, PROT_READ, PROT_WRITE};

use crate::call::sys;

// include/uapi/linux/userfaultfd.h
const API: u64 = 0xaa;
const MISSING: u64 = 1;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_COPY: u64 = 0xc028_aa03;

pub(crate) struct Page {
    faults: i64,
    address: usize,
}

impl Page {
    /// A multiple of every kernel's page.
    pub(crate) const LEN: usize = 1 << 16;

    pub(crate) fn new() -> Self {
        let faults = sys!(SYS_userfaultfd, O_CLOEXEC);
        let (readable, private) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
        let address = sys!(SYS_mmap, 0, Self::LEN, readable, private, -1, 0) as usize;
        sys!(SYS_ioctl, faults, UFFDIO_API, [API, 0, 0].as_mut_ptr());
        sys!(SYS_ioctl, faults, UFFDIO_REGISTER, [address as u64, Self::LEN as u64, MISSING, 0].as_mut_ptr());
        Self { faults, address }
    }

    pub(crate) fn address(&self) -> usize {
        self.address
    }

    /// Blocks until a thread uses the page and waits for its content.
    pub(crate) fn wait_for_use(&self) {
        let mut message = [0_u64; 4];
        assert_eq!(sys!(SYS_read, self.faults, message.as_mut_ptr(), 32), 32);
    }

    /// Fills the page and wakes the threads that wait for it.
    pub(crate) fn fill(&self) {
        let whole = vec![0_u8; Self::LEN];
        let mut copy = [self.address as u64, whole.as_ptr() as u64, Self::LEN as u64, 0, 0];
        sys!(SYS_ioctl, self.faults, UFFDIO_COPY, copy.as_mut_ptr());
    }
}
