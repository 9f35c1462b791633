//! Names over restarts.

use mobula::prelude::*;

use super::support::{Scratch, eventually, get, signal, start};
use super::{Nest, Phoenix, until_gone};

#[mobula::test]
fn an_actor_keeps_its_name() {
    let _runtime = start();
    let nest = Nest::with(Phoenix::options().max_restarts(-1).name("bird"));
    for _ in 0..3 {
        let pid = nest.pid();
        signal(pid, "KILL");
        // At every moment: it has it, and nobody else gets it.
        for _ in 0..50 {
            assert!(mobula::get_actor::<Phoenix>("bird").is_ok());
            let error = Phoenix::options().name("bird").remote("").unwrap_err();
            assert!(error.is_name_taken(), "{error:?}");
        }
        until_gone(pid);
        let found = mobula::get_actor::<Phoenix>("bird").unwrap();
        assert_eq!(ActorHandle::id(&found), ActorHandle::id(&nest.bird));
        assert_eq!(get(&found.value().max_task_retries(-1).remote()).unwrap(), 0);
    }
    mobula::kill(&nest.bird).unwrap();
    assert!(mobula::get_actor::<Phoenix>("bird").unwrap_err().is_not_found());
}

#[mobula::test]
fn get_if_exists_takes_one_that_is_being_restarted() {
    let _runtime = start();
    let nest = Nest::with(Phoenix::options().max_restarts(-1).name("bird"));
    let notes = Scratch::new("notes");
    for round in 0..8_u32 {
        signal(nest.pid(), "KILL");
        for _ in 0..round * 20_000 {
            std::hint::spin_loop();
        }
        let same = Phoenix::options().name("bird").get_if_exists(true).remote(notes.text()).unwrap();
        assert_eq!(ActorHandle::id(&same), ActorHandle::id(&nest.bird));
        if round >= 3 {
            break;
        }
    }
    assert!(notes.lines().is_empty());
}

#[mobula::test]
fn the_name_is_free_after_the_last_restart() {
    let _runtime = start();
    let nest = Nest::with(Phoenix::options().max_restarts(1).name("bird"));
    assert!(get(&nest.bird.die(9).max_task_retries(-1).remote()).unwrap_err().is_actor_died());
    eventually("the name is free", || mobula::get_actor::<Phoenix>("bird").is_err_and(|error| error.is_not_found()));
    let again = Nest::with(Phoenix::options().name("bird"));
    assert_eq!(get(&again.bird.value().remote()).unwrap(), 0);
}
