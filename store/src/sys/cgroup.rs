//! How much memory this process may still take: its control groups' limits and the machine's memory.
//!
//! ```text
//!   /proc/self/cgroup   "0::/a/b"         -> memory.max              of /a/b, /a and the root of the mount
//!                       "4:memory:/a/b"   -> memory.limit_in_bytes   of the same, in the version-1 mount
//!   /proc/meminfo       MemAvailable + SwapFree
//! ```
//!
//! The kernel answers a shortage of shared memory by killing some process, not by an error; so whoever
//! commits asks here first and leaves a reserve. A group's charge counts pages of files that it would drop at
//! need: they are subtracted, but looked up only when the room without them does not do.
//!
//! Limits are found once, when the process first commits; the charge is read each time, by a path, so that
//! the program keeps no descriptor more. Without a limit
//! only the machine's memory is asked. The answer is a good guess, not a reservation: another process
//! may take the same memory in the same moment, which is what the reserve is for. Where none of the
//! files can be read, nothing is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The least that is left to everything else.
const LEAST_RESERVE: u64 = 64 << 20;
/// The share of a limit that is left to everything else: one part of this many.
const RESERVE_PART: u64 = 50;

/// Where the mounts of control groups are looked for; containers have them at the same places.
const UNIFIED: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];
const MEMORY: [&str; 1] = ["sys/fs/cgroup/memory"];

/// The limits that hold for this process.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    groups: Vec<Group>,
    meminfo: PathBuf,
}

/// A control group with a limit.
#[derive(Debug)]
struct Group {
    /// Named in errors.
    path: PathBuf,
    limit: u64,
    charge: PathBuf,
}

/// Refuses to take `bytes` of memory if they are not there.
pub(crate) fn check(bytes: usize) -> io::Result<()> {
    static LIMITS: OnceLock<Limits> = OnceLock::new();
    LIMITS.get_or_init(|| Limits::find(Path::new("/"))).check(bytes as u64)
}

impl Limits {
    /// Finds the limits of this process; `root` is `/` except in tests.
    pub(crate) fn find(root: &Path) -> Limits {
        let mut limits = Limits { groups: Vec::new(), meminfo: root.join("proc/meminfo") };
        for line in fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default().lines() {
            // number:controllers:path; the unified hierarchy has no controllers there.
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                limits.add(root, &UNIFIED, path, "memory.max", "memory.current");
            } else if controllers.split(',').any(|c| c == "memory") {
                limits.add(root, &MEMORY, path, "memory.limit_in_bytes", "memory.usage_in_bytes");
            }
        }
        limits
    }

    /// Adds the limits of a group and of all it lies in.
    fn add(&mut self, root: &Path, mounts: &[&str], path: &str, limit: &str, charge: &str) {
        for mount in mounts.iter().map(|mount| root.join(mount)) {
            // In a container the path may be the host's and the mount the container's own group: what is
            // not there is passed over, and the root of the mount is always asked.
            for group in Path::new(path.trim_start_matches('/')).ancestors() {
                let folder = mount.join(group);
                let number = fs::read_to_string(folder.join(limit)).ok().and_then(|text| text.trim().parse().ok());
                // "max" is no number; version 1 says the greatest multiple of a page.
                let Some(number) = number.filter(|&n: &u64| n < i64::MAX as u64 - (1 << 20)) else { continue };
                self.groups.push(Group { charge: folder.join(charge), path: folder, limit: number });
            }
        }
    }

    fn check(&self, bytes: u64) -> io::Result<()> {
        for group in &self.groups {
            group.check(bytes)?;
        }
        let Ok(meminfo) = fs::read_to_string(&self.meminfo) else { return Ok(()) };
        let kilobytes = |name: &str| field(&meminfo, name).map(|n| n << 10);
        let (Some(total), Some(available)) = (kilobytes("MemTotal:"), kilobytes("MemAvailable:")) else {
            return Ok(());
        };
        let available = available.saturating_add(kilobytes("SwapFree:").unwrap_or(0));
        let reserve = reserve(total);
        if bytes.saturating_add(reserve) > available {
            return Err(out_of_memory(format!(
                "{bytes} bytes more would leave the machine less than the reserve of {reserve} bytes: \
                 {available} of {total} bytes are available"
            )));
        }
        Ok(())
    }
}

impl Group {
    fn check(&self, bytes: u64) -> io::Result<()> {
        let charge = fs::read_to_string(&self.charge).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let Some(charge) = charge else { return Ok(()) };
        let reserve = reserve(self.limit);
        let most = self.limit.saturating_sub(reserve);
        if charge.saturating_add(bytes) <= most {
            return Ok(());
        }
        let charge = charge.saturating_sub(self.droppable());
        if charge.saturating_add(bytes) <= most {
            return Ok(());
        }
        Err(out_of_memory(format!(
            "{bytes} bytes more would pass the memory limit of {} bytes less the reserve of {reserve} bytes: \
             {charge} bytes are in use in {}",
            self.limit,
            self.path.display()
        )))
    }

    /// Returns the bytes of file pages that the kernel drops when the group needs memory.
    fn droppable(&self) -> u64 {
        let Ok(stat) = fs::read_to_string(self.path.join("memory.stat")) else { return 0 };
        // Version 1 has the group's own figures under the bare names and the tree's, which is what the charge
        // counts, under "total_". Shared memory is on neither list.
        let sum = |prefix: &str| {
            let part = |name: &str| field(&stat, &format!("{prefix}{name}"));
            Some(part("inactive_file")?.saturating_add(part("active_file")?))
        };
        sum("total_").or_else(|| sum("")).unwrap_or(0)
    }
}

fn reserve(total: u64) -> u64 {
    (total / RESERVE_PART).max(LEAST_RESERVE)
}

fn out_of_memory(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// Finds the number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn nothing_readable_and_no_limit_refuse_nothing() {
        Limits::find(machine(&[]).path()).check(u64::MAX).unwrap();
        let root = machine(&[
            ("proc/self/cgroup", "4:memory:/a\n0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.current", "1\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n"),
        ]);
        let limits = Limits::find(root.path());
        assert!(limits.groups.is_empty());
        limits.check(u64::MAX).unwrap();
    }

    #[test]
    fn the_limit_of_any_group_above_holds_less_the_reserve() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/pod/memory.current", "536870912\n"),
            ("sys/fs/cgroup/pod/box/memory.max", "max\n"),
        ]);
        let limits = Limits::find(root.path());
        limits.check(448 * MB).unwrap();
        let error = limits.check(448 * MB + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        assert!(text.contains("1073741824") && text.contains("536870912") && text.contains("67108864"), "{text}");
        // The charge is read again each time.
        fs::write(root.path().join("sys/fs/cgroup/pod/memory.current"), "0\n").unwrap();
        limits.check(960 * MB).unwrap();
    }

    #[test]
    fn the_root_of_a_containers_mount_is_asked_although_the_path_is_the_hosts() {
        let root = machine(&[
            ("proc/self/cgroup", "9:cpu:/\n7:memory:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n"),
        ]);
        let limits = Limits::find(root.path());
        limits.check(63 * MB).unwrap();
        limits.check(63 * MB + 1).unwrap_err();
    }

    #[test]
    fn pages_of_files_count_as_free() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "268435456\n"),
            ("sys/fs/cgroup/memory.current", "268435456\n"),
            ("sys/fs/cgroup/memory.stat", "anon 104857600\nfile 999\ninactive_file 62914560\nactive_file 41943040\n"),
        ]);
        let limits = Limits::find(root.path());
        limits.check(36 * MB).unwrap();
        limits.check(36 * MB + 1).unwrap_err();
    }

    #[test]
    fn the_machines_memory_is_a_limit_too() {
        let meminfo = "MemTotal:       1048576 kB\nMemFree: 5 kB\nMemAvailable:    409600 kB\nSwapFree: 1024 kB\n";
        let root = machine(&[("proc/meminfo", meminfo)]);
        let limits = Limits::find(root.path());
        limits.check(337 * MB).unwrap();
        let error = limits.check(337 * MB + 1).unwrap_err().to_string();
        assert!(error.contains("the machine"), "{error}");
    }

    #[test]
    fn this_machine_is_understood() {
        check(1).unwrap();
        let limits = Limits::find(Path::new("/"));
        limits.check(u64::MAX).unwrap_err();
    }
}
