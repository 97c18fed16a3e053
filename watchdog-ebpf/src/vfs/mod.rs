//! Functions of the VFS: whoever comes, by a system call, io_uring or from within the kernel, comes through them.
//!
//! Each function has doors of two makes: fentry and fexit, and their twins kprobe and kretprobe for kernels that
//! refuse the former. A function whose parameters changed between kernels has doors for each number of parameters:
//! the agent counts them in BTF and takes the doors that fit.

mod data;
mod entry;
mod open;
mod operation;
mod uring;
mod visit;

use aya_ebpf::{
    EbpfContext as _,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use watchdog_common::IoKind;

use crate::{
    calls::{self, vector_bytes},
    control, files,
    kernel::{self, File},
    settings::{self, setting},
    turn::Turn,
};
use operation::Door;
use visit::Visit;

/// Doors at a function's entry. `$argument` gives the function's arguments by number, as plain numbers: 5.10 lets
/// fentry programs load no argument that points to anything but a struct (`btf_ctx_access`), and 5.10 to 6.7 pass no
/// pointer to a function that takes numbers (`btf_check_func_arg_match`), so arguments are read past the verifier.
///
/// What lies behind a gate is a function of its own: a program pays on its way in and out for each register that it
/// keeps, and nearly always there is nothing to do.
macro_rules! entry {
    ($($(#[$doc:meta])* ($fentry:ident, $again:ident, $kprobe:ident) $gate:ident => |$argument:ident, $visit:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[fentry]
        pub fn $fentry(ctx: FEntryContext) -> i32 {
            behind!($gate, ctx: FEntryContext => {
                let $argument = |n: u32| -> u64 { kernel::read(ctx.as_ptr() as u64, 8 * n) };
                let $visit = Visit::entry(&ctx, Turn::One);
                $body;
            });
            0
        }

        $(#[$doc])*
        #[fentry]
        pub fn $again(ctx: FEntryContext) -> i32 {
            behind!($gate, ctx: FEntryContext => {
                let $argument = |n: u32| -> u64 { kernel::read(ctx.as_ptr() as u64, 8 * n) };
                let $visit = Visit::entry(&ctx, Turn::Other);
                $body;
            });
            0
        }

        $(#[$doc])*
        #[kprobe]
        pub fn $kprobe(ctx: ProbeContext) -> u32 {
            behind!($gate, ctx: ProbeContext => {
                let $argument = |n: usize| -> u64 { ctx.arg(n).unwrap_or(0) };
                let $visit = Visit::probe(&ctx);
                $body;
            });
            0
        }
    )*};
}

/// Doors at the return of a function with so many parameters, behind the gate.
macro_rules! exit {
    ($($(#[$doc:meta])* ($fexit:ident, $again:ident, $parameters:literal, $kretprobe:ident) => |$visit:ident, $result:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[fexit]
        pub fn $fexit(ctx: FExitContext) -> i32 {
            behind!(gated, ctx: FExitContext => {
                // The result stands behind the arguments; bpf_get_func_ret, which would find it, came in 5.17.
                let $result: i64 = ctx.arg($parameters);
                let $visit = Visit::exit(&ctx, Turn::One);
                $body;
            });
            0
        }

        $(#[$doc])*
        #[fexit]
        pub fn $again(ctx: FExitContext) -> i32 {
            behind!(gated, ctx: FExitContext => {
                let $result: i64 = ctx.arg($parameters);
                let $visit = Visit::exit(&ctx, Turn::Other);
                $body;
            });
            0
        }

        $(#[$doc])*
        #[kretprobe]
        pub fn $kretprobe(ctx: RetProbeContext) -> u32 {
            behind!(gated, ctx: RetProbeContext => {
                let $result: i64 = ctx.ret();
                let $visit = Visit::return_probe(&ctx);
                $body;
            });
            0
        }
    )*};
}

/// Runs the body when the gate lets through: `always`, `gated` while something is tracked, `opening` while something is
/// tracked or on its way.
macro_rules! behind {
    (always, $ctx:ident: $context:ty => $body:block) => { $body };
    (gated, $ctx:ident: $context:ty => $body:block) => {
        if settings::gate() != 0 {
            #[inline(never)]
            fn body($ctx: $context) $body
            body($ctx);
        }
    };
    (opening, $ctx:ident: $context:ty => $body:block) => {
        if settings::gate() | settings::opening() != 0 {
            #[inline(never)]
            fn body($ctx: $context) $body
            body($ctx);
        }
    };
}

// What 5.10 to 7.2 have in common stands in the comments: the arguments that the doors take.
entry! {
    /// `do_filp_open(dfd, pathname, op)`, `do_file_open` from 7.0 on: before the name is looked up
    (lookup_fentry, lookup_fentry_again, lookup_kprobe) always => |_arg, _visit| calls::remember_entry();
    /// `__fput(file)`, or `security_file_free(file)`
    (release_fentry, release_fentry_again, release_kprobe) opening => |arg, _visit| {
        open::ended(arg(0));
        files::release(File(arg(0)));
    };
    /// `vfs_read(file, buf, count, pos)`
    (read_fentry, read_fentry_again, read_kprobe) gated => |arg, visit| data::begin(Door::Read, visit, arg(0), || (arg(3), arg(2)));
    /// `vfs_readv(file, vec, vlen, pos, flags)`
    (readv_fentry, readv_fentry_again, readv_kprobe) gated => |arg, visit| data::begin(Door::Readv, visit, arg(0), || (arg(3), vector_bytes(arg(1), arg(2))));
    /// `vfs_write(file, buf, count, pos)`
    (write_fentry, write_fentry_again, write_kprobe) gated => |arg, visit| data::begin(Door::Write, visit, arg(0), || (arg(3), arg(2)));
    /// `vfs_writev(file, vec, vlen, pos, flags)`
    (writev_fentry, writev_fentry_again, writev_kprobe) gated => |arg, visit| data::begin(Door::Writev, visit, arg(0), || (arg(3), vector_bytes(arg(1), arg(2))));
    /// `vfs_iter_read(file, iter, ppos, flags)`
    (iter_read_fentry, iter_read_fentry_again, iter_read_kprobe) gated => |arg, visit| {
        let whole = &[Door::SpliceRead, Door::CopyFrom];
        data::begin_step(Door::IterRead, visit, whole, arg(0), arg(1), arg(2));
    };
    /// `vfs_iter_write(file, iter, ppos, flags)`
    (iter_write_fentry, iter_write_fentry_again, iter_write_kprobe) gated => |arg, visit| {
        let whole = &[Door::SpliceWrite, Door::SpliceInto, Door::CopyTo];
        data::begin_step(Door::IterWrite, visit, whole, arg(0), arg(1), arg(2));
    };
    /// `kernel_write(file, buf, count, pos)`
    (kernel_write_fentry, kernel_write_fentry_again, kernel_write_kprobe) gated => |arg, visit| data::begin(Door::KernelWrite, visit, arg(0), || (arg(3), arg(2)));
    /// `io_read(req, issue_flags)`
    (uring_read_fentry, uring_read_fentry_again, uring_read_kprobe) gated => |arg, visit| uring::begin(Door::UringRead, visit, arg(0));
    /// `io_write(req, issue_flags)`
    (uring_write_fentry, uring_write_fentry_again, uring_write_kprobe) gated => |arg, visit| uring::begin(Door::UringWrite, visit, arg(0));
    /// `kiocb_done(kiocb, ret, …)`, from 5.16 on `kiocb_done(req, ret, …)`
    (uring_done_fentry, uring_done_fentry_again, uring_done_kprobe) gated => |arg, _visit| uring::done(arg(0), arg(1) as i64);
    /// `do_truncate(dentry, length, time_attrs, filp)`, up to 5.11
    (truncate_4_fentry, truncate_4_fentry_again, truncate_4_kprobe) always => |arg, visit| truncate(visit, arg(0), arg(1), arg(2), arg(3));
    /// `do_truncate(mnt_userns or idmap, dentry, length, time_attrs, filp)`, from 5.12 on
    (truncate_5_fentry, truncate_5_fentry_again, truncate_5_kprobe) always => |arg, visit| truncate(visit, arg(1), arg(2), arg(3), arg(4));
    /// `vfs_fallocate(file, mode, offset, len)`: also where the agent's commands arrive
    (allocate_fentry, allocate_fentry_again, allocate_kprobe) always => |arg, visit| allocate(visit, arg(0), arg(1), arg(2), arg(3));
    /// `vfs_fsync_range(file, start, end, datasync)`
    (sync_fentry, sync_fentry_again, sync_kprobe) gated => |arg, visit| data::begin_sync(visit, arg(0));
    /// `do_fsync(fd, datasync)`
    (fsync_fentry, fsync_fentry_again, fsync_kprobe) gated => |arg, visit| data::begin_fsync(visit, arg(0) as i32);
    /// `__x64_sys_fdatasync(regs)`, `__arm64_sys_fdatasync(regs)`
    (fdatasync_fentry, fdatasync_fentry_again, fdatasync_kprobe) gated => |arg, visit| data::begin_fsync(visit, kernel::read(arg(0), setting!(registers.arguments[0])));
    /// `security_mmap_file(file, prot, flags)`
    (map_fentry, map_fentry_again, map_kprobe) gated => |arg, visit| data::begin_map(visit, arg(0), arg(1), arg(2));
    /// `fcntl_setlk(fd, filp, cmd, flock)`
    (record_lock_fentry, record_lock_fentry_again, record_lock_kprobe) gated => |arg, visit| data::begin_record_lock(visit, arg(1), arg(2), arg(3));
    /// `locks_lock_inode_wait(inode, fl)`: where a locked directory comes to matter, so the gate is not asked
    (flock_fentry, flock_fentry_again, flock_kprobe) always => |arg, visit| data::begin_flock(visit, arg(1));
    /// `do_splice_read(in, ppos, pipe, len, flags)`, `do_splice_to` up to 6.4
    (splice_read_fentry, splice_read_fentry_again, splice_read_kprobe) gated => |arg, visit| data::begin_splice(Door::SpliceRead, visit, arg(0), || (arg(1), arg(3)));
    /// `iter_file_splice_write(pipe, out, ppos, len, flags)`
    (splice_write_fentry, splice_write_fentry_again, splice_write_kprobe) gated => |arg, visit| data::begin_splice(Door::SpliceWrite, visit, arg(1), || (arg(2), arg(3)));
    /// `do_splice(in, off_in, out, off_out, len, flags)`
    (splice_fentry, splice_fentry_again, splice_kprobe) gated => |arg, visit| data::begin_splice_into(visit, arg(2), arg(3), arg(4));
    /// `do_splice_direct(in, ppos, out, opos, len, flags)`
    (sendfile_fentry, sendfile_fentry_again, sendfile_kprobe) gated => |arg, visit| data::begin_splice_into(visit, arg(2), arg(3), arg(4));
    /// `vfs_copy_file_range(file_in, pos_in, file_out, pos_out, len, flags)`
    (copy_fentry, copy_fentry_again, copy_kprobe) gated => |arg, visit| data::begin_copy(visit, arg(0), arg(1), arg(2), arg(3), arg(4));
    /// `vfs_clone_file_range(file_in, pos_in, file_out, pos_out, len, remap_flags)`
    (clone_fentry, clone_fentry_again, clone_kprobe) gated => |arg, visit| data::begin_copy(visit, arg(0), arg(1), arg(2), arg(3), arg(4));
    /// `security_file_mprotect(vma, reqprot, prot)`
    (protect_fentry, protect_fentry_again, protect_kprobe) gated => |arg, visit| data::begin_protect(visit, arg(0), arg(2));
    /// `vfs_rename(rd)`
    (rename_fentry, rename_fentry_again, rename_kprobe) always => |arg, visit| entry::begin_rename(visit, arg(0));
    /// `vfs_link(old_dentry, dir, new_dentry, delegated_inode)`, up to 5.11
    (link_4_fentry, link_4_fentry_again, link_4_kprobe) always => |arg, visit| entry::begin_link(visit, arg(0), arg(2));
    /// `vfs_link(old_dentry, mnt_userns or idmap, dir, new_dentry, delegated_inode)`, from 5.12 on
    (link_5_fentry, link_5_fentry_again, link_5_kprobe) always => |arg, visit| entry::begin_link(visit, arg(0), arg(3));
    /// `vfs_unlink(dir, dentry, delegated_inode)`, up to 5.11
    (unlink_3_fentry, unlink_3_fentry_again, unlink_3_kprobe) always => |arg, visit| entry::begin_unlink(visit, arg(1));
    /// `vfs_unlink(mnt_userns or idmap, dir, dentry, delegated_inode)`, from 5.12 on
    (unlink_4_fentry, unlink_4_fentry_again, unlink_4_kprobe) always => |arg, visit| entry::begin_unlink(visit, arg(2));
}

exit! {
    (read_fexit, read_fexit_again, 4, read_kretprobe) => |visit, result| data::end_read(Door::Read, visit, result);
    (readv_fexit, readv_fexit_again, 5, readv_kretprobe) => |visit, result| data::end_read(Door::Readv, visit, result);
    (write_fexit, write_fexit_again, 4, write_kretprobe) => |visit, result| data::end_write(Door::Write, visit, result);
    (writev_fexit, writev_fexit_again, 5, writev_kretprobe) => |visit, result| data::end_write(Door::Writev, visit, result);
    (iter_read_fexit, iter_read_fexit_again, 4, iter_read_kretprobe) =>
        |visit, result| data::end_read(Door::IterRead, visit, result);
    (iter_write_fexit, iter_write_fexit_again, 4, iter_write_kretprobe) =>
        |visit, result| data::end_write(Door::IterWrite, visit, result);
    (kernel_write_fexit, kernel_write_fexit_again, 4, kernel_write_kretprobe) =>
        |visit, result| data::end_write(Door::KernelWrite, visit, result);
    (uring_read_fexit, uring_read_fexit_again, 2, uring_read_kretprobe) => |visit, _result| uring::end(Door::UringRead, visit, IoKind::Read);
    (uring_write_fexit, uring_write_fexit_again, 2, uring_write_kretprobe) => |visit, _result| uring::end(Door::UringWrite, visit, IoKind::Write);
    (truncate_4_fexit, truncate_4_fexit_again, 4, truncate_4_kretprobe) => |visit, result| truncated(visit, result);
    (truncate_5_fexit, truncate_5_fexit_again, 5, truncate_5_kretprobe) => |visit, result| truncated(visit, result);
    (allocate_fexit, allocate_fexit_again, 4, allocate_kretprobe) => |visit, result| data::end_allocate(visit, result);
    (sync_fexit, sync_fexit_again, 4, sync_kretprobe) => |visit, result| data::end_plain(Door::Sync, visit, IoKind::Sync, result);
    (fsync_fexit, fsync_fexit_again, 2, fsync_kretprobe) => |visit, result| data::end_plain(Door::Fsync, visit, IoKind::Sync, result);
    (fdatasync_fexit, fdatasync_fexit_again, 1, fdatasync_kretprobe) =>
        |visit, result| data::end_plain(Door::Fsync, visit, IoKind::Sync, result);
    (map_fexit, map_fexit_again, 3, map_kretprobe) => |visit, result| data::end_plain(Door::Map, visit, IoKind::Map, result);
    (record_lock_fexit, record_lock_fexit_again, 4, record_lock_kretprobe) =>
        |visit, result| data::end_plain(Door::RecordLock, visit, IoKind::RecordLock, result);
    (flock_fexit, flock_fexit_again, 2, flock_kretprobe) => |visit, result| data::end_plain(Door::Flock, visit, IoKind::Flock, result);
    (splice_read_fexit, splice_read_fexit_again, 5, splice_read_kretprobe) => |visit, result| data::end_read(Door::SpliceRead, visit, result);
    (splice_write_fexit, splice_write_fexit_again, 5, splice_write_kretprobe) => |visit, result| data::end_write(Door::SpliceWrite, visit, result);
    (splice_fexit, splice_fexit_again, 6, splice_kretprobe) =>
        |visit, result| data::end_write(Door::SpliceInto, visit, result);
    (sendfile_fexit, sendfile_fexit_again, 6, sendfile_kretprobe) =>
        |visit, result| data::end_write(Door::SpliceInto, visit, result);
    (copy_fexit, copy_fexit_again, 6, copy_kretprobe) => |visit, result| data::end_copy(visit, result);
    (clone_fexit, clone_fexit_again, 6, clone_kretprobe) => |visit, result| data::end_copy(visit, result);
    (protect_fexit, protect_fexit_again, 3, protect_kretprobe) => |visit, result| data::end_plain(Door::Protect, visit, IoKind::Map, result);
    (rename_fexit, rename_fexit_again, 1, rename_kretprobe) => |visit, result| entry::end(Door::Rename, visit, result);
    (link_4_fexit, link_4_fexit_again, 4, link_4_kretprobe) => |visit, result| entry::end(Door::Link, visit, result);
    (link_5_fexit, link_5_fexit_again, 5, link_5_kretprobe) => |visit, result| entry::end(Door::Link, visit, result);
    (unlink_3_fexit, unlink_3_fexit_again, 3, unlink_3_kretprobe) => |visit, result| entry::end(Door::Unlink, visit, result);
    (unlink_4_fexit, unlink_4_fexit_again, 4, unlink_4_kretprobe) => |visit, result| entry::end(Door::Unlink, visit, result);
}

/// Return of `do_dentry_open(f, open)`, from 6.8 on.
#[fexit]
pub fn open_2_fexit(ctx: FExitContext) -> i32 {
    open::returned_at_a_glance(ctx.arg(0), ctx.arg(2), Turn::One);
    0
}

/// See [`crate::turn`].
#[fexit]
pub fn open_2_fexit_again(ctx: FExitContext) -> i32 {
    open::returned_at_a_glance(ctx.arg(0), ctx.arg(2), Turn::Other);
    0
}

/// Return of `do_dentry_open(f, inode, open)`, up to 6.7.
#[fexit]
pub fn open_3_fexit(ctx: FExitContext) -> i32 {
    open::returned_at_a_glance(ctx.arg(0), ctx.arg(3), Turn::One);
    0
}

/// See [`crate::turn`].
#[fexit]
pub fn open_3_fexit_again(ctx: FExitContext) -> i32 {
    open::returned_at_a_glance(ctx.arg(0), ctx.arg(3), Turn::Other);
    0
}

/// Entry of `do_dentry_open(f, …)`: its return knows no arguments.
#[kprobe]
pub fn open_kprobe(ctx: ProbeContext) -> u32 {
    open::entered(Visit::probe(&ctx), ctx.arg(0).unwrap_or(0));
    0
}

/// The same, where the kernel lets a probe look at a glance too.
#[kprobe]
pub fn open_typed_kprobe(ctx: ProbeContext) -> u32 {
    let file = ctx.arg(0).unwrap_or(0);
    if open::may_matter(File(file).typed()) {
        open::entered(Visit::probe(&ctx), file);
    }
    0
}

/// Return of `do_dentry_open(f, …)`.
#[kretprobe]
pub fn open_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some(file) = open::taken(Visit::return_probe(&ctx)) {
        open::returned(file, ctx.ret(), Turn::One);
    }
    0
}

/// A thread ends: what it has begun and not returned from is not under way any more.
#[inline(always)]
pub(crate) fn abandon() {
    entry::abandon(Door::Rename);
    entry::abandon(Door::Link);
    entry::abandon(Door::Unlink);
    entry::abandon(Door::TruncatePath);
    if settings::operating() != 0 {
        operation::abandon();
    }
}

#[inline(always)]
fn truncate(visit: Visit, dentry: u64, size: u64, attributes: u64, file: u64) {
    if file == 0 {
        entry::begin_truncate(visit, dentry, size);
    } else if settings::gate() != 0 {
        data::begin_truncate(visit, file, size, attributes);
    }
}

#[inline(always)]
fn truncated(visit: Visit, result: i64) {
    data::end_plain(Door::Truncate, visit, IoKind::Truncate, result);
    entry::end(Door::TruncatePath, visit, result);
}

#[inline(always)]
fn allocate(visit: Visit, file: u64, mode: u64, offset: u64, length: u64) {
    if mode & u64::from(watchdog_common::COMMAND_MODE) != 0 {
        control::run_packed(mode & 0xff, offset, length);
    } else if settings::gate() != 0 {
        begin_allocate(&visit, file, mode, offset, length);
    }
}

/// A function of its own, so that what it needs of the stack does not add to what a command needs.
#[inline(never)]
fn begin_allocate(visit: &Visit, file: u64, mode: u64, offset: u64, length: u64) {
    data::begin_allocate(*visit, file, mode, offset, length);
}
