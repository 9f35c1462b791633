use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::ctl::Ctl;
use crate::layout::Layout;

/// Nothing in these tests takes that long; who still sleeps then was not woken.
const LOST: Option<Duration> = Some(Duration::from_secs(30));

fn shared() -> Shared {
    let layout = Layout::new(1 << 20, 64, 4).unwrap();
    let shared = Shared::new(Ctl::heap(layout.len), layout);
    for process in 1..=4 {
        let joiner = client::take(&shared, process, 0, 4).unwrap();
        assert!(client::confirm(&shared, joiner));
    }
    shared
}

fn state(bell: Doorbell<'_>) -> u32 {
    bell.word.load(Ordering::SeqCst) & STATE
}

fn set(bell: Doorbell<'_>, state: u32) {
    bell.shift(|word| next(word, state));
}

/// Waits until `ready`, which another thread brings about.
fn until(ready: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready() {
        assert!(Instant::now() < deadline, "gave up waiting");
        thread::yield_now();
    }
}

#[test]
fn reset_puts_the_service_thread_in_charge() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 0);
    bell.kick_service();
    bell.poll_begin();
    bell.reset();
    assert_eq!(bell.word.load(Ordering::SeqCst) & (STATE | KICKED), SERVICE);
}

#[test]
fn ring_leaves_a_polled_bell_alone() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    bell.poll_begin();
    let word = bell.word.load(Ordering::SeqCst);
    bell.ring();
    assert_eq!(bell.word.load(Ordering::SeqCst), word);
}

#[test]
fn a_ring_for_the_service_thread_waits_for_it() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    bell.ring();
    assert_eq!(state(bell), RUNG);
    assert!(bell.park_service(&|| false, None));
    assert_eq!(state(bell), SERVICE);
    assert!(!bell.park_service(&|| false, Some(Duration::ZERO)));
}

#[test]
fn a_kick_of_the_service_thread_waits_for_it_whoever_polls() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    for take_over in [false, true] {
        if take_over {
            bell.poll_begin();
        }
        bell.kick_service();
        assert!(bell.park_service(&|| false, None));
        assert!(!bell.park_service(&|| false, Some(Duration::ZERO)));
    }
}

#[test]
fn the_service_thread_does_not_ask_for_work_while_a_user_polls() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    bell.poll_begin();
    assert!(!bell.park_service(&|| panic!("asked"), Some(Duration::from_millis(1))));
    bell.poll_end(&|| false);
    assert!(bell.park_service(&|| true, None));
}

#[test]
fn poll_end_calls_the_service_thread_if_there_is_work() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    bell.poll_begin();
    bell.poll_end(&|| {
        assert_eq!(state(bell), SERVICE);
        true
    });
    assert_eq!(state(bell), RUNG);
    assert!(bell.park_service(&|| false, None));
}

#[test]
fn poll_end_leaves_a_token_that_is_out() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    bell.ring();
    bell.poll_end(&|| false);
    assert_eq!(state(bell), RUNG);
}

#[test]
fn a_user_polls_after_its_sleep_however_it_ended() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    assert!(!bell.park_user(&|| false, Some(Duration::from_millis(1))));
    assert_eq!(state(bell), POLLED);
    assert!(bell.park_user(&|| true, None));
    assert_eq!(state(bell), POLLED);
    let rung = || {
        bell.ring();
        false
    };
    assert!(bell.park_user(&rung, None));
    assert_eq!(state(bell), POLLED);
}

#[test]
fn a_kick_of_the_service_thread_does_not_end_a_users_sleep() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    let kicks = AtomicU32::new(0);
    let kick_once = || {
        if kicks.fetch_add(1, Ordering::Relaxed) == 0 {
            bell.kick_service();
        }
        false
    };
    assert!(!bell.park_user(&kick_once, Some(Duration::from_millis(1))));
    assert!(bell.park_service(&|| false, None));
}

#[test]
fn the_service_thread_asleep_on_an_old_word_is_found() {
    let shared = shared();
    let bell = Doorbell::of(&shared, 1);
    bell.poll_begin();
    let asleep = AtomicBool::new(false);
    thread::scope(|scope| {
        let service = scope.spawn(|| {
            asleep.store(true, Ordering::SeqCst);
            bell.park_service(&|| panic!("asked"), LOST)
        });
        until(|| asleep.load(Ordering::SeqCst));
        // Give it the time to fall asleep; the test holds either way.
        thread::sleep(Duration::from_millis(20));
        for _ in 0..100 {
            bell.poll_begin();
            // Not through poll_end, which the service thread would answer with a question.
            set(bell, USER);
        }
        set(bell, SERVICE);
        bell.ring();
        assert!(service.join().unwrap(), "the service thread was not woken");
    });
}

#[test]
fn a_sleeper_whose_waker_died_is_woken_after_the_death() {
    let shared = shared();
    for (role, taken) in [(Role::Service, RUNG), (Role::User, POLLED)] {
        let bell = Doorbell::of(&shared, 2);
        bell.reset();
        thread::scope(|scope| {
            let sleeper = scope.spawn(move || match role {
                Role::Service => bell.park_service(&|| false, LOST),
                Role::User => bell.park_user(&|| false, LOST),
            });
            if role == Role::User {
                until(|| state(bell) == USER);
            }
            thread::sleep(Duration::from_millis(20));
            // The sender takes the word and is killed before it wakes.
            set(bell, taken);
            wake_everybody(&shared);
            assert!(sleeper.join().unwrap(), "{role:?} was not woken");
        });
    }
}

/// One side of a ping-pong: waits until the counter shows the partner's move, then moves.
fn play(shared: &Shared, me: u16, role: Role, counter: &AtomicU32, rounds: u32, seed: u32) {
    let bell = Doorbell::of(shared, me);
    let mut random = seed;
    for round in 0..rounds {
        let turn = round * 2 + u32::from(me);
        let mine = || counter.load(Ordering::Relaxed) == turn;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut spins = random >> 22;
        if role == Role::User {
            bell.poll_begin();
        }
        while !mine() {
            if spins > 0 {
                spins -= 1;
                std::hint::spin_loop();
                continue;
            }
            let woken = match role {
                Role::User => bell.park_user(&mine, LOST),
                Role::Service => bell.park_service(&mine, LOST),
            };
            assert!(woken, "{role:?} {me} slept through round {round}");
        }
        if role == Role::User && random & 1 == 0 {
            bell.poll_end(&|| false);
        }
        counter.store(turn + 1, Ordering::Release);
        Doorbell::of(shared, 1 - me).ring();
    }
}

#[test]
fn ping_pong_loses_no_wake_up() {
    for (a, b) in [
        (Role::User, Role::User),
        (Role::User, Role::Service),
        (Role::Service, Role::User),
        (Role::Service, Role::Service),
    ] {
        let shared = shared();
        let counter = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| play(&shared, 0, a, &counter, 25_000, 1));
            scope.spawn(|| play(&shared, 1, b, &counter, 25_000, 2));
        });
        assert_eq!(counter.load(Ordering::SeqCst), 50_000);
    }
}

/// A process as the worker crate builds it: what arrives is counted in `arrived`, whoever holds
/// `taken` takes it.
struct Process<'a> {
    bell: Doorbell<'a>,
    arrived: AtomicU32,
    taken: Mutex<u32>,
    seen: AtomicU32,
    wanted: AtomicBool,
    over: AtomicBool,
}

impl Process<'_> {
    fn drain(&self, taken: &mut u32) {
        *taken = self.arrived.load(Ordering::Acquire);
        self.seen.store(*taken, Ordering::Release);
    }

    fn has_work(&self, taken: u32) -> bool {
        self.arrived.load(Ordering::Relaxed) != taken
    }

    /// Leads once; false if somebody else leads.
    fn lead(&self, park: bool) -> bool {
        let Ok(mut taken) = self.taken.try_lock() else {
            return false;
        };
        self.bell.poll_begin();
        self.drain(&mut taken);
        if park {
            let now = *taken;
            self.bell.park_user(&|| self.has_work(now), Some(Duration::from_micros(50)));
            self.drain(&mut taken);
        }
        let now = *taken;
        self.bell.poll_end(&|| self.has_work(now));
        drop(taken);
        fence(Ordering::SeqCst);
        if self.wanted.swap(false, Ordering::SeqCst) {
            self.bell.kick_service();
        }
        true
    }

    fn serve(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let has_work = || self.taken.try_lock().is_ok_and(|taken| self.has_work(*taken));
            let woken = self.bell.park_service(&has_work, LOST);
            assert!(woken, "the service thread slept through frame {}", self.arrived.load(Ordering::SeqCst));
            if !self.lead(false) {
                self.wanted.store(true, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                self.lead(false);
            }
        }
    }
}

#[test]
fn frames_are_taken_whoever_comes_and_goes() {
    let shared = shared();
    let process = Process {
        bell: Doorbell::of(&shared, 3),
        arrived: AtomicU32::new(0),
        taken: Mutex::new(0),
        seen: AtomicU32::new(0),
        wanted: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        scope.spawn(|| process.serve());
        // Two user threads come and go at random, and never after the last frame on their own.
        for seed in 1..3u32 {
            let process = &process;
            scope.spawn(move || {
                let mut random = seed;
                while !process.over.load(Ordering::SeqCst) {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if process.seen.load(Ordering::Relaxed) % 16 < 8 {
                        process.lead(random >> 31 == 0);
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
        for frame in 1..=20_000u32 {
            process.arrived.store(frame, Ordering::Release);
            process.bell.ring();
            until(|| process.seen.load(Ordering::Acquire) == frame);
        }
        process.over.store(true, Ordering::SeqCst);
        process.bell.kick_service();
    });
}
