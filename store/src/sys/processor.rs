//! Where threads run, and where they may.

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Returns the calling thread's number.
pub(crate) fn tid() -> u32 {
    gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Returns the number of the processor that the calling thread runs on, or ran on a moment ago.
pub(crate) fn current() -> u32 {
    u32::try_from(sched_getcpu()).unwrap_or(u32::MAX)
}

/// Returns the processors that a thread may use; 0 if there are some beyond the 64th, or no such thread.
pub(crate) fn allowed(tid: u32) -> u64 {
    let Ok(set) = sched_getaffinity(pid(tid)) else {
        return 0;
    };
    let mask: u64 = (0..64).filter(|cpu| set.is_set(*cpu)).fold(0, |mask, cpu| mask | 1u64 << cpu);
    if mask.count_ones() == set.count() { mask } else { 0 }
}

/// Sets the processors that a thread may use; 0 is the calling one. A thread that is gone is no matter.
pub(crate) fn allow(tid: u32, mask: u64) {
    let mut set = CpuSet::new();
    (0..64).filter(|cpu| mask >> cpu & 1 != 0).for_each(|cpu| set.set(cpu));
    let _ = sched_setaffinity(pid(tid), &set);
}

fn pid(tid: u32) -> Option<Pid> {
    i32::try_from(tid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_where_it_may() {
        std::thread::spawn(|| {
            let mask = allowed(0);
            assert_ne!(mask, 0);
            assert_eq!(allowed(tid()), mask);
            for cpu in (0..64).filter(|cpu| mask >> cpu & 1 != 0) {
                allow(tid(), 1 << cpu);
                assert_eq!((allowed(0), current()), (1 << cpu, cpu));
            }
            allow(0, mask);
            assert_eq!(allowed(0), mask);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nobody_is_nowhere() {
        assert_eq!(allowed(u32::MAX - 1), allowed(0), "no number of a thread");
        assert_eq!(allowed(0x3fff_ffff), 0);
    }
}
