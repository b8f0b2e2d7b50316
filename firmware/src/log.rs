//! One log line, by defmt on a board and on standard error of a host; nothing on a board without `log`.

/// Logs one line, whatever the level filter says. Takes the `{}` and `{:08x}` that defmt and `core::fmt` share.
/// Arguments are evaluated only where there is a log.
#[macro_export]
macro_rules! log_line {
    ($format:literal $(, $argument:expr)* $(,)?) => {{
        #[cfg(all(target_os = "none", feature = "log"))]
        ::defmt::println!($format $(, $argument)*);
        #[cfg(all(target_os = "none", not(feature = "log")))]
        let _ = || { $(let _ = &$argument;)* };
        #[cfg(not(target_os = "none"))]
        ::std::eprintln!($format $(, $argument)*);
    }};
}
