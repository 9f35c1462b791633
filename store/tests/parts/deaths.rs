//! Processes that are killed while they fill.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use mobula_store::{SharedArray, Store};

use super::{assert_numbered, decoded, encoded, eventually, fill, number, store};

const PART: &str = "MOBULA_STORE_TEST_PART";
const ADDRESS: &str = "MOBULA_STORE_TEST_ADDRESS";
const ARRAY: &str = "MOBULA_STORE_TEST_ARRAY";

/// A process that fills; killed and waited for when it is dropped.
struct Filler(Child);

impl Filler {
    /// Starts a process that plays `part` with the array, and waits until it says that it has begun.
    fn start(part: &str, store: &Store, array: &SharedArray<u64>) -> Filler {
        let hex = encoded(array).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "deaths::play", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(ADDRESS, store.address())
            .env(ARRAY, hex)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.ends_with("ready"));
        let filler = Filler(child);
        assert!(ready, "{part} ended before it was ready");
        filler
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does nothing in a test run; in a child it plays the part.
#[test]
fn play() {
    let (Ok(part), Ok(address), Ok(hex)) = (std::env::var(PART), std::env::var(ADDRESS), std::env::var(ARRAY)) else {
        return;
    };
    let store = Store::attach(address).unwrap();
    let bytes: Vec<_> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let array = decoded(&store, &bytes).unwrap();
    let mut kept = Vec::new();
    match part.as_str() {
        "half" => {
            let mut part = array.part(1).unwrap();
            part[0] = 99;
            kept.push(part);
            println!("\nready");
        }
        "loop" => {
            println!("\nready");
            while let Some(mut part) = array.wait_part(None).unwrap() {
                number(&mut part);
                part.finish().unwrap();
            }
        }
        other => panic!("no part {other}"),
    }
    loop {
        std::thread::park();
        std::hint::black_box(&kept);
    }
}

/// Waits until nothing of the dead is left; what they held goes after they have ceased to count as clients.
fn eventually_clean(store: &Store) {
    eventually("the dead clients' places are free", || store.stats().clients == 1);
    eventually("what the dead held is gone", || store.stats().objects == 0);
    store.check().unwrap();
}

#[test]
fn a_part_of_the_dead_is_free_again() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[30], 3).unwrap();
    let filler = Filler::start("half", &store, &array);
    let pid = filler.0.id();
    fill(&array, 0);
    fill(&array, 2);
    let refused = array.part(1).unwrap_err();
    assert!(refused.is_full() && refused.to_string().contains(&pid.to_string()), "{refused}");
    assert!(array.seal().unwrap_err().to_string().contains(&format!("1 (being filled by pid {pid})")));
    std::thread::scope(|scope| {
        // Woken by the death, as nobody else changes anything.
        let heir = scope.spawn(|| array.wait_part(None).unwrap().unwrap());
        drop(filler);
        let mut part = heir.join().unwrap();
        assert_eq!(part.index(), 1);
        number(&mut part);
        part.finish().unwrap();
    });
    assert_numbered(&array);
    drop(array);
    eventually_clean(&store);
}

#[test]
fn an_error_names_the_dead() {
    let store = store();
    let array = SharedArray::<u64>::new_in(&store, &[30], 3).unwrap();
    let filler = Filler::start("half", &store, &array);
    let pid = filler.0.id();
    drop(filler);
    let named = format!("1 (free, pid {pid} died filling it)");
    eventually("the death is noticed", || array.seal().unwrap_err().to_string().contains(&named));
}

#[test]
fn whoever_is_killed_the_rest_is_filled() {
    const PARTS: usize = 200;
    let store = store();
    for round in 0..20 {
        let array = SharedArray::<u64>::new_in(&store, &[PARTS * 16], PARTS).unwrap();
        let fillers: Vec<_> = (0..2).map(|_| Filler::start("loop", &store, &array)).collect();
        eventually("they fill", || array.unfilled().len() <= PARTS - round * 9);
        drop(fillers);
        while let Some(mut part) = array.wait_part(None).unwrap() {
            number(&mut part);
            part.finish().unwrap();
        }
        assert_numbered(&array);
    }
    eventually_clean(&store);
}
