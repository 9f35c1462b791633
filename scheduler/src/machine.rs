//! How many CPUs and how much memory this process may use.
//!
//! Limits come from three places and the smallest counts: the machine, the scheduling affinity of
//! this process, and the control groups above it (version 2 and version 1). A file that is missing
//! or cannot be read is no limit.

use std::fs;
use std::path::{Path, PathBuf};

const CGROUP: &str = "/sys/fs/cgroup";

/// Returns the CPUs that this process may use, at least a hundredth of one.
pub(crate) fn usable_cpus() -> f64 {
    // Counts the affinity and rounds quotas down; the quota is read again below to keep its fraction.
    let cpus = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    match cpu_quota(Path::new(CGROUP), &own_groups()) {
        Some(quota) if quota < cpus || cpus <= 1.0 => quota.min(affinity()).max(0.01),
        _ => cpus,
    }
}

/// Returns the bytes of memory that this process may use.
pub(crate) fn usable_memory() -> u64 {
    let installed = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text));
    let limit = memory_limit(Path::new(CGROUP), &own_groups());
    installed.into_iter().chain(limit).min().unwrap_or(1 << 30)
}

/// Returns the numbers of the processors that this process may use.
pub(crate) fn processors() -> Vec<u32> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    let numbers = 0..rustix::thread::CpuSet::MAX_CPU;
    numbers.filter(|&number| set.is_set(number)).filter_map(|number| u32::try_from(number).ok()).collect()
}

fn affinity() -> f64 {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => f64::from(set.count().max(1)),
        Err(_) => 1.0,
    }
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The control groups of this process: controller list (empty for version 2) and path.
fn own_groups() -> Vec<(String, String)> {
    groups(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

fn groups(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        })
        .collect()
}

/// Every folder that can hold a limit of `controller`: the group's own and all above it.
fn folders(root: &Path, groups: &[(String, String)], controller: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (controllers, group) in groups {
        let base = if controllers.is_empty() {
            root.to_path_buf()
        } else if controllers.split(',').any(|name| name == controller) {
            root.join(controller)
        } else {
            continue;
        };
        // In a container the group's path may be that of the host: then only the root exists here.
        let folder = base.join(group.trim_start_matches('/'));
        found.extend(folder.ancestors().take_while(|path| path.starts_with(&base)).map(Path::to_path_buf));
    }
    found
}

fn cpu_quota(root: &Path, groups: &[(String, String)]) -> Option<f64> {
    let quota = |folder: &PathBuf| {
        if let Ok(text) = fs::read_to_string(folder.join("cpu.max")) {
            let (quota, period) = text.trim().split_once(' ')?;
            return Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?);
        }
        let quota: f64 = number(&folder.join("cpu.cfs_quota_us"))?;
        let period: f64 = number(&folder.join("cpu.cfs_period_us"))?;
        (quota > 0.0).then(|| quota / period)
    };
    folders(root, groups, "cpu").iter().filter_map(quota).filter(|quota| *quota > 0.0).reduce(f64::min)
}

fn memory_limit(root: &Path, groups: &[(String, String)]) -> Option<u64> {
    let limit =
        |folder: &PathBuf| number(&folder.join("memory.max")).or_else(|| number(&folder.join("memory.limit_in_bytes")));
    folders(root, groups, "memory").iter().filter_map(limit).min()
}

fn number<T: std::str::FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cpus_and_memory() {
        assert!(usable_cpus() > 0.0);
        assert!(usable_memory() > 1 << 20);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total_memory("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(total_memory("nothing"), None);
    }

    #[test]
    fn limits_of_all_groups_above_count() {
        let root = std::env::temp_dir().join(format!("mobula-machine-test-{}", std::process::id()));
        let inner = root.join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.join("outer/cpu.max"), "150000 100000\n").unwrap();
        fs::write(inner.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(inner.join("memory.max"), "4096\n").unwrap();
        fs::write(root.join("outer/memory.max"), "max\n").unwrap();
        let own = groups("0::/outer/inner\n");
        assert_eq!(cpu_quota(&root, &own), Some(1.5));
        assert_eq!(memory_limit(&root, &own), Some(4096));

        fs::create_dir_all(root.join("cpu/a")).unwrap();
        fs::write(root.join("cpu/a/cpu.cfs_quota_us"), "50000\n").unwrap();
        fs::write(root.join("cpu/a/cpu.cfs_period_us"), "100000\n").unwrap();
        assert_eq!(cpu_quota(&root, &groups("4:cpu,cpuacct:/a\n")), Some(0.5));
        assert_eq!(cpu_quota(&root, &[]), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
