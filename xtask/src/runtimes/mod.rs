//! The agent beside real, unmodified runtimes: youki, which writes in place, and runc, which does not.

mod container;
mod crowd;
mod runc;
mod youki;

pub(crate) use runc::check as check_runc;
pub(crate) use youki::check as check_youki;
