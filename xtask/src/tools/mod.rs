//! Finds the tools that cargo does not bring, or installs them: once, saying what it does.

mod bpf;
mod browser;
mod cache;
mod debian;
mod podman;
mod python;
mod runtimes;

pub(crate) use bpf::{Origin, set_up_bpf};
pub(crate) use browser::{Browser, View};
pub(crate) use cache::Cache;
pub(crate) use debian::{has_program, installed, refresh_package_lists, unpacked};
pub(crate) use podman::Podman;
pub(crate) use python::{helm_and_kubectl, python};
pub(crate) use runtimes::{runc, youki};
