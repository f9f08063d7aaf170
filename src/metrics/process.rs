//! What the process itself uses, under the names that every Prometheus client uses, where the system says
//! so in files that are cheap to read (Linux).
//!
//! Not by the `process` feature of the `prometheus` crate: that brings a second version of `rustix`, libc
//! bindings and a parser of all of `/proc` for three small files.

use std::fs;
use std::time::{Duration, SystemTime};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::families::{About, counter, gauge, number};
use super::tokens::unix_seconds;

/// The kernel converts times to this unit for user space whatever its own tick is: `USER_HZ` is 100
/// on every architecture that Rust's standard library supports on Linux.
const MILLIS_PER_TICK: u64 = 10;

const CPU: About =
    About { name: "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds." };
const RESIDENT: About =
    About { name: "process_resident_memory_bytes", help: "Resident memory size in bytes." };
const VIRTUAL: About = About { name: "process_virtual_memory_bytes", help: "Virtual memory size in bytes." };
const OPEN_FDS: About = About { name: "process_open_fds", help: "Number of open file descriptors." };
const MAX_FDS: About = About { name: "process_max_fds", help: "Maximum number of open file descriptors." };
const STARTED: About = About {
    name: "process_start_time_seconds",
    help: "Start time of the process since the Unix epoch in seconds.",
};

/// What the process uses; `None` where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    /// User and system time of all threads.
    cpu: Option<Duration>,
    /// Memory in RAM, in bytes.
    resident: Option<u64>,
    /// Address space, in bytes.
    virtual_size: Option<u64>,
    open_fds: Option<u64>,
    /// `None` also where there is no limit.
    max_fds: Option<u64>,
}

/// Reads what the process uses at every scrape.
#[derive(Clone, Debug)]
pub(super) struct ProcessCollector {
    started: SystemTime,
    descs: Vec<Desc>,
}

impl ProcessCollector {
    pub(super) fn new(started: SystemTime) -> prometheus::Result<Self> {
        let all = [CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, STARTED];
        Ok(Self { started, descs: all.iter().map(|about| about.desc(&[])).collect::<Result<_, _>>()? })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let usage = usage();
        let gauges = [
            (RESIDENT, usage.resident.map(number)),
            (VIRTUAL, usage.virtual_size.map(number)),
            (OPEN_FDS, usage.open_fds.map(number)),
            (MAX_FDS, usage.max_fds.map(number)),
            (STARTED, Some(unix_seconds(self.started))),
        ];
        let cpu = usage.cpu.map(|time| CPU.counters([counter(&[], time.as_secs_f64())]));
        let gauges = gauges.into_iter().filter_map(|(about, value)| {
            let value = value?;
            Some(about.gauges([gauge(&[], value)]))
        });
        cpu.into_iter().chain(gauges).collect()
    }
}

/// Reads small files that the kernel makes up on the spot: microseconds, and no disk.
fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").ok();
    let kibibytes = |key| status.as_deref().and_then(|status| kibibytes_in(status, key));
    Usage {
        cpu: fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_in),
        resident: kibibytes("VmRSS:"),
        virtual_size: kibibytes("VmSize:"),
        open_fds: open_fds(),
        max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    }
}

/// Since Linux 6.2 the directory's size is the number of descriptors. Before, it is 0, and each of them
/// has to be listed.
fn open_fds() -> Option<u64> {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).ok()?.len() {
        // The directory itself is open while it is listed.
        0 => Some((fs::read_dir(directory).ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

/// A size in bytes from the text of `/proc/PID/status`, since `statm` counts in pages of unknown size.
fn kibibytes_in(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
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

    const STATUS: &str = "Name:\tcxone-proxy\nVmPeak:\t  999999 kB\nVmSize:\t 54321 kB\nVmRSS:\t   12345 kB\nRssAnon:\t 1 kB\n";

    #[test]
    fn sizes_are_in_bytes() {
        assert_eq!(kibibytes_in(STATUS, "VmRSS:"), Some(12_345 * 1024));
        assert_eq!(kibibytes_in(STATUS, "VmSize:"), Some(54_321 * 1024));
        assert_eq!(kibibytes_in("Name:\tkthreadd\n", "VmRSS:"), None);
        assert_eq!(kibibytes_in("VmRSS:\t12345 MB\n", "VmRSS:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(usage.resident.unwrap() > 100 * 1024);
        assert!(usage.virtual_size.unwrap() >= usage.resident.unwrap());
        assert!(usage.cpu.unwrap() < Duration::from_hours(1));
        assert!(usage.open_fds.unwrap() >= 3, "{usage:?}");
        assert!(usage.max_fds.is_none_or(|most| most >= usage.open_fds.unwrap()), "{usage:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_open_file_is_counted() {
        // Other tests open files meanwhile, so a margin in the one direction that tells.
        let files: Vec<_> = (0..500).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let open = open_fds().unwrap();
        assert!(open >= 500, "{open}");
        drop(files);
    }

    proptest! {
        #[test]
        fn the_programs_name_does_not_confuse_the_fields(name in "[ -~]{0,15}", user in 0..1_000_000_u64, system in 0..1_000_000_u64) {
            let stat = format!("42 ({name}) S 1 42 42 0 -1 4194560 1 2 3 4 {user} {system} 7 8 20 0 9 0 1234");
            prop_assert_eq!(cpu_in(&stat), Some(Duration::from_millis((user + system) * 10)));
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = (cpu_in(&text), kibibytes_in(&text, "VmRSS:"));
        }
    }
}
