//! How much of its own doings the runtime tells through `tracing`.
//!
//! The host installs the subscriber and filters as it likes; this level is the runtime's own limit
//! before that, so that [`LogLevel`] in a `Config` means something without one.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::LogLevel;

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);

/// Sets the least important events that this process tells.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Returns true if events of `level` are told.
pub fn enabled(level: LogLevel) -> bool {
    level != LogLevel::Off && level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Tells an event: `tell!(Warn, warn, pid, "text")`.
macro_rules! tell {
    ($level:ident, $event:ident, $($rest:tt)+) => {
        if $crate::trace::enabled($crate::config::LogLevel::$level) {
            tracing::$event!($($rest)+);
        }
    };
}
pub(crate) use tell;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_off_is_never_told() {
        assert!(enabled(LogLevel::Error) && enabled(LogLevel::Info) && !enabled(LogLevel::Trace));
        assert!(!enabled(LogLevel::Off));
    }
}
