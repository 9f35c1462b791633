//! What the figures were taken on.

use std::fmt;
use std::fs;

use crate::clock::Clock;
use crate::report::VERSION;

/// Describes the machine: without it no figure means anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// The processors that this process may use.
    pub cpus: usize,
    /// The machine's memory in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The load average of the last minute when the run began.
    pub load: f64,
}

impl Machine {
    /// Looks at the machine.
    pub fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kilobytes = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Machine {
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown processor").to_owned(),
            cpus: cpus(),
            memory_bytes: kilobytes.unwrap_or(0) * 1024,
            kernel: release.trim().to_owned(),
            load: load.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0),
        }
    }

    /// Says what makes this run's figures worth less, if anything does.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if cfg!(debug_assertions) {
            warnings.push("this is a debug build: its figures mean nothing".to_owned());
        }
        if self.cpus < 2 {
            warnings.push("one processor: both sides of a call take turns on it".to_owned());
        }
        if self.load > 0.25 * self.cpus as f64 {
            warnings.push(format!("the load average is {:.2}: others work on this machine, too", self.load));
        }
        warnings
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = self.memory_bytes as f64 / f64::from(1 << 30);
        write!(f, "{}, {} CPUs, {gigabytes:.1} GiB, Linux {}", self.cpu, self.cpus, self.kernel)
    }
}

/// Describes what measured: version and clock.
pub(crate) fn instrument(clock: &Clock) -> String {
    format!("mobula {VERSION}, clock {} ({:.1} ns subtracted)", clock.name(), clock.overhead_ns())
}

/// Returns how many processors this process may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Finds `name: value` in a file of such lines.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(field("a\t: b c\nMemTotal:  12 kB\n", "MemTotal"), Some("12 kB"));
        assert_eq!(field("a\t: b c\n", "a"), Some("b c"));
        assert_eq!(field("", "a"), None);
    }
}
