//! `&mut self` calls run alone.

use super::hall;
use super::support::{Gate, get, start};

#[mobula::test]
fn a_writer_meets_nobody() {
    let _runtime = start();
    let hall = hall(4);
    let mut writes = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..50 {
        reads.push(hall.meet(1).remote());
        reads.push(hall.meet(1).remote());
        writes.push(hall.write().remote());
    }
    for (index, write) in writes.iter().enumerate() {
        assert_eq!(get(write).unwrap(), index as u32 + 1, "each runs once, in order");
    }
    mobula::get_all(&reads).unwrap();
}

#[mobula::test]
fn a_writer_sees_what_readers_began_before_it_and_holds_later_ones_up() {
    let _runtime = start();
    let (hall, gate) = (hall(4), Gate::new());
    let before = hall.writes().remote();
    let write = hall.write_behind(gate.text()).remote();
    let behind = hall.writes().remote();
    assert_eq!(get(&before).unwrap(), 0);
    gate.open();
    assert_eq!(get(&write).unwrap(), 1);
    assert_eq!(get(&behind).unwrap(), 1, "it started after the writer had ended");
}
