//! The one user, alice.

/// No secret.
pub(crate) const PASSWORD: &str = "watchdog";
/// The same by bcrypt.
pub(crate) const HASH: &str = "$2b$05$abcdefghijklmnopqrstuuW/UdwRaWgRoMg0B.hzH85UgFfu3SS3C";
