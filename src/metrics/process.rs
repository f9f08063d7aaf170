//! What the process itself uses, where the system says so in files that are cheap to read (Linux).
//!
//! Open descriptors are left out: the system says how many there are only by listing each of them,
//! which is dear when there are many, the very time when one asks.

use std::fs;
use std::time::Duration;

/// The kernel converts times to this unit for user space whatever its own tick is: `USER_HZ` is 100
/// on every architecture that Rust's standard library supports on Linux.
const MILLIS_PER_TICK: u64 = 10;

/// What the process uses; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Memory in RAM, in bytes.
    pub(super) resident: Option<u64>,
    /// User and system time of all threads.
    pub(super) cpu: Option<Duration>,
}

/// Reads two small files that the kernel makes up on the spot: microseconds, and no disk.
pub(super) fn usage() -> Usage {
    let resident = fs::read_to_string("/proc/self/status").ok();
    let cpu = fs::read_to_string("/proc/self/stat").ok();
    Usage { resident: resident.as_deref().and_then(resident_in), cpu: cpu.as_deref().and_then(cpu_in) }
}

/// From the text of `/proc/PID/status`, since `statm` counts in pages of unknown size.
fn resident_in(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = value.trim().strip_suffix(" kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// From the text of `/proc/PID/stat`.
fn cpu_in(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses, and that may hold both of them and
    // spaces. What follows the last one starts with the third field; the 14th and 15th are the times.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    let millis = ticks()?.checked_add(ticks()?)?.checked_mul(MILLIS_PER_TICK)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "Name:\tcxone-proxy\nVmPeak:\t  999999 kB\nVmRSS:\t   12345 kB\nRssAnon:\t 1 kB\n";

    #[test]
    fn resident_memory_is_told_in_bytes() {
        assert_eq!(resident_in(STATUS), Some(12_345 * 1024));
        assert_eq!(resident_in("Name:\tkthreadd\n"), None);
        assert_eq!(resident_in("VmRSS:\t12345 MB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(usage.resident.unwrap() > 100 * 1024);
        assert!(usage.cpu.unwrap() < Duration::from_hours(1));
    }

    proptest! {
        #[test]
        fn the_programs_name_does_not_confuse_the_fields(name in "[ -~]{0,15}", user in 0..1_000_000_u64, system in 0..1_000_000_u64) {
            let stat = format!("42 ({name}) S 1 42 42 0 -1 4194560 1 2 3 4 {user} {system} 7 8 20 0 9 0 1234");
            prop_assert_eq!(cpu_in(&stat), Some(Duration::from_millis((user + system) * 10)));
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = (cpu_in(&text), resident_in(&text));
        }
    }
}
