//! One log line, by defmt on a board and on standard error of a host.

/// Logs one line, whatever the level filter says. Takes the `{}` and `{:08x}` that defmt and `core::fmt` share.
#[macro_export]
macro_rules! log_line {
    ($($argument:tt)*) => {{
        #[cfg(target_os = "none")]
        ::defmt::println!($($argument)*);
        #[cfg(not(target_os = "none"))]
        ::std::eprintln!($($argument)*);
    }};
}
