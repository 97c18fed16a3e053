//! The configuration file.

use std::path::Path;

use watchdog::cli::RunArgs;
use watchdog::config::Config;

/// A configuration is refused with a place and a reason, or it means the same after it was printed.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("/etc/watchdog.toml");
    match Config::resolve(&RunArgs::default(), Some((path, text))) {
        Ok(config) => {
            let printed = config.to_toml();
            let again = Config::resolve(&RunArgs::default(), Some((path, &printed)));
            match again {
                Ok(again) => assert_eq!(config, again, "{printed}"),
                Err(error) => panic!("what was printed is refused: {error}\n{printed}"),
            }
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.starts_with("/etc/watchdog.toml"), "no place: {said}");
        }
    }
}
