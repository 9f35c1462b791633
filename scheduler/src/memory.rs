//! How much of the memory is in use, of the machine and of this process's control groups.
//!
//! Shared memory counts, that of the store too; pages of files that the kernel would drop at need do not. Files that
//! cannot be read say nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What has a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Use {
    /// The machine, or a control group.
    pub(crate) place: String,
    /// Bytes that are taken and cannot be dropped.
    pub(crate) used: u64,
    /// Bytes that there are.
    pub(crate) limit: u64,
}

impl Use {
    /// The share that is in use, from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Use { place, used, limit } = self;
        write!(f, "{} of {} MiB of {place} are in use ({:.1} %)", used >> 20, limit >> 20, self.share() * 100.0)
    }
}

/// Reads the figures.
#[derive(Debug)]
pub(crate) struct Meter {
    root: PathBuf,
    groups: Vec<Group>,
}

/// A control group with a limit.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    limit: u64,
    usage: &'static str,
    /// What `memory.stat` calls the pages of files that would be dropped first.
    droppable: &'static str,
}

impl Meter {
    /// Finds what limits this process; `root` is `/` except in tests.
    pub(crate) fn new(root: &Path) -> Self {
        let mut groups = Vec::new();
        for line in fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default().lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
                continue;
            };
            if controllers.is_empty() {
                let names = ["memory.max", "memory.current", "inactive_file"];
                add(&mut groups, &root.join("sys/fs/cgroup"), path, names);
            } else if controllers.split(',').any(|name| name == "memory") {
                let names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
                add(&mut groups, &root.join("sys/fs/cgroup/memory"), path, names);
            }
        }
        Meter { root: root.to_path_buf(), groups }
    }

    /// Returns what is nearest to its limit.
    pub(crate) fn read(&self) -> Option<Use> {
        let groups = self.groups.iter().filter_map(Group::read);
        groups.chain(self.machine()).max_by(|a, b| a.share().total_cmp(&b.share()))
    }

    fn machine(&self) -> Option<Use> {
        let text = fs::read_to_string(self.root.join("proc/meminfo")).ok()?;
        let kilobytes = |name| field(&text, name, ':').map(|number| number << 10);
        let (limit, available) = (kilobytes("MemTotal")?, kilobytes("MemAvailable")?);
        Some(Use { place: "the machine's memory".to_owned(), used: limit.saturating_sub(available), limit })
    }
}

fn add(groups: &mut Vec<Group>, mount: &Path, path: &str, [limit, usage, droppable]: [&'static str; 3]) {
    // In a container the path may be that of the host: then only the mount's root is there.
    for group in Path::new(path.trim_start_matches('/')).ancestors() {
        let folder = mount.join(group);
        // "max" is no number; version 1 says the greatest multiple of a page.
        let number = number(&folder.join(limit)).filter(|&limit| limit < i64::MAX as u64 - (1 << 20));
        if let Some(limit) = number {
            groups.push(Group { folder, limit, usage, droppable });
        }
    }
}

impl Group {
    fn read(&self) -> Option<Use> {
        let usage = number(&self.folder.join(self.usage))?;
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let droppable = field(&stat, self.droppable, ' ').unwrap_or(0);
        let place = format!("the control group {}", self.folder.display());
        Some(Use { place, used: usage.saturating_sub(droppable), limit: self.limit })
    }
}

/// Returns the bytes that are a process's alone and come back when it ends.
pub(crate) fn private_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "RssAnon", ':').map_or(0, |kilobytes| kilobytes << 10)
}

fn field(text: &str, name: &str, separator: char) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(separator))?;
    line.trim().split(' ').next()?.parse().ok()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearest_to_its_limit_counts() {
        let root = std::env::temp_dir().join(format!("mobula-memory-test-{}", std::process::id()));
        let inner = root.join("sys/fs/cgroup/outer/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir_all(root.join("proc/self")).unwrap();
        assert_eq!(Meter::new(&root).read(), None, "no figures, no opinion");
        fs::write(root.join("proc/meminfo"), "MemTotal:  1000 kB\nMemAvailable:  400 kB\n").unwrap();
        let used = Meter::new(&root).read().unwrap();
        assert_eq!((used.used, used.limit), (600 << 10, 1000 << 10));
        fs::write(root.join("proc/self/cgroup"), "0::/outer/inner\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.join("sys/fs/cgroup/outer/memory.max"), "1000\n").unwrap();
        fs::write(root.join("sys/fs/cgroup/outer/memory.current"), "950\n").unwrap();
        let meter = Meter::new(&root);
        assert_eq!((meter.read().unwrap().used, meter.read().unwrap().share()), (950, 0.95));
        fs::write(root.join("sys/fs/cgroup/outer/memory.stat"), "anon 5\ninactive_file 700\n").unwrap();
        assert_eq!(meter.read().unwrap().limit, 1000 << 10, "files are dropped before anything is short");
        let text = meter.read().unwrap().to_string();
        assert!(text.ends_with("MiB of the machine's memory are in use (60.0 %)"), "{text}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_process_has_memory_of_its_own() {
        let before = private_bytes(std::process::id());
        let kept = vec![1_u8; 32 << 20];
        assert!(private_bytes(std::process::id()) >= before + (30 << 20) && kept[1 << 20] == 1);
        assert_eq!(private_bytes(u32::MAX), 0);
    }
}
