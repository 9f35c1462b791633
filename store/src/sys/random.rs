//! Random bytes for ids.

use std::cell::RefCell;

use rustix::rand::{GetRandomFlags, getrandom};

const POOL: usize = 512;

struct Pool {
    pid: u32,
    used: usize,
    bytes: [u8; POOL],
}

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool { pid: 0, used: POOL, bytes: [0; POOL] }) };
}

/// Returns sixteen random bytes; a forked child does not repeat its parent's.
pub(crate) fn bytes16() -> [u8; 16] {
    RANDOM
        .try_with(|pool| {
            let mut pool = pool.borrow_mut();
            let pid = std::process::id();
            if pool.pid != pid || pool.used + 16 > POOL {
                fill(&mut pool.bytes);
                pool.pid = pid;
                pool.used = 0;
            }
            let mut out = [0; 16];
            out.copy_from_slice(&pool.bytes[pool.used..pool.used + 16]);
            pool.used += 16;
            out
        })
        .unwrap_or_else(|_| {
            let mut out = [0; 16];
            fill(&mut out);
            out
        })
}

fn fill(bytes: &mut [u8]) {
    let mut done = 0;
    while done < bytes.len() {
        // The call only fails by being interrupted once the pool is seeded, which it is long before any user process.
        if let Ok(n) = getrandom(&mut bytes[done..], GetRandomFlags::empty()) {
            done += n;
        }
    }
}
