//! Workers inside a test harness: what `mobula::test_support!()` puts before the harness's `main`.
//!
//! A worker of `cargo test` is the harness's executable started again, and the harness's `main` is
//! not ours. So the macro places a pointer to [`test_support_entry`] among the constructors of the
//! executable. In a worker that function does not return:
//!
//! ```text
//!   .init_array: [ c0, c1, test_support_entry, c3, c4 ]
//!                           |  no mark: return, nothing happens
//!                           |  mark:    run c3, c4 (the registry's constructors may be among them),
//!                           |           start the worker on a thread of std, park for ever
//! ```
//!
//! The second room of this crate with `unsafe` in it.

use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use mobula_scheduler::bootstrap;

use crate::executor;

/// A constructor as the C library calls it.
pub type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

unsafe extern "C" {
    /// The bounds of the executable's constructors, set by the linker.
    static __init_array_start: [Option<Constructor>; 0];
    static __init_array_end: [Option<Constructor>; 0];
}

/// Turns the process into a worker if it was started as one.
///
/// It may stand any number of times among the constructors.
pub extern "C" fn test_support_entry(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) {
    static CALLED: AtomicBool = AtomicBool::new(false);
    if CALLED.swap(true, Ordering::SeqCst) {
        return;
    }
    let Some(mark) = bootstrap::take_mark() else {
        return;
    };
    for constructor in after(test_support_entry) {
        constructor(argc, argv, envp);
    }
    // SAFETY: setting a signal to be ignored; std does the same before a `main` of its own.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    crate::sys::note_parked_main();
    let started = std::thread::Builder::new().name("mobula-worker".into()).spawn(move || executor::become_worker(mark));
    if let Err(error) = started {
        crate::sys::exit_saying(format_args!("this worker process cannot start a thread: {error}"));
    }
    loop {
        std::thread::park();
    }
}

/// Returns the executable's constructors that come after the first `this`.
fn after(this: Constructor) -> impl Iterator<Item = Constructor> {
    let start = (&raw const __init_array_start).cast::<Option<Constructor>>();
    let end = (&raw const __init_array_end).cast::<Option<Constructor>>();
    let count = (end.addr() - start.addr()) / size_of::<Option<Constructor>>();
    (0..count)
        .filter_map(move |index| {
            // SAFETY: the linker puts `count` pointers between the two symbols; `index` is below it.
            let place = unsafe { start.add(index) };
            // SAFETY: `place` lies between the symbols, is aligned as the section is, and holds a
            // constructor's address or zero; the dynamic linker has relocated it by now.
            unsafe { place.read() }
        })
        .skip_while(move |constructor| !std::ptr::fn_addr_eq(*constructor, this))
        .skip(1)
}
