//! The types that maps hold.

use watchdog_common::{Filter, Identity, Name, RootKey, RootValue, Settings, Tracked};

/// A type of [`watchdog_common`] as a map's key or value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Plain<T>(pub(super) T);

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: `repr(C)`, integers alone, no padding: watchdog-common keeps to that.
        #[expect(unsafe_code, reason = "aya asks for the promise that any bytes are a value")]
        unsafe impl aya::Pod for Plain<$type> {}
    )*};
}
plain!(Settings, Filter, Name, RootKey, RootValue, Tracked, Identity);
