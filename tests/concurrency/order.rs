//! Calls of one caller start in the order made.

use super::support::{Gate, eventually, get, start};
use super::{Hall, hall};

#[mobula::test]
fn readers_start_in_the_order_made() {
    let _runtime = start();
    // The places of the default group: two.
    let hall = Hall::options().max_concurrency(2).concurrency_group("io", 1).remote(None).unwrap();
    let gates: Vec<_> = (0..8).map(|_| Gate::new()).collect();
    let calls: Vec<_> = (0u32..).zip(&gates).map(|(number, gate)| hall.stand(number, gate.text()).remote()).collect();
    for (number, gate) in gates.iter().enumerate() {
        let inside: Vec<_> = (0..(number as u32 + 2).min(8)).collect();
        let seen = || {
            let mut seen = get(&hall.seen().concurrency_group("io").remote()).unwrap();
            seen.sort_unstable();
            seen
        };
        eventually("the first ones are inside", || seen().len() >= inside.len());
        assert_eq!(seen(), inside, "and no other");
        gate.open();
        get(&calls[number]).unwrap();
    }
}

#[mobula::test]
fn those_of_a_group_of_one_place_start_in_the_order_made() {
    let _runtime = start();
    let hall = Hall::options().concurrency_group("io", 2).remote(None).unwrap();
    for number in 0..1_000 {
        hall.start(number).remote();
        hall.meet(1).concurrency_group("io").remote();
    }
    let made: Vec<_> = (0..1_000).collect();
    assert_eq!(get(&hall.started().remote()).unwrap(), made);
}

#[mobula::test]
fn writers_and_readers_start_in_the_order_made() {
    let _runtime = start();
    let hall = hall(3);
    let made: Vec<_> = (0..300).collect();
    for &number in &made {
        match number % 2 {
            0 => drop(hall.start(number).remote()),
            _ => drop(hall.start_alone(number).remote()),
        }
    }
    assert_eq!(get(&hall.started().remote()).unwrap(), made);
}

#[mobula::test]
fn behind_a_call_that_waits_for_its_argument() {
    let _runtime = start();
    let hall = hall(3);
    let slow = hall.meet(1).remote();
    let first = hall.start_alone(&slow).remote();
    hall.start_alone(7).remote();
    assert_eq!(get(&hall.started().remote()).unwrap(), [1, 7]);
    get(&first).unwrap();
}
