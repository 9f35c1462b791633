//! A panic is caught on each thread; the actor lives on.

use super::hall;
use super::support::{get, start};

#[mobula::test]
fn each_caller_gets_its_own_and_the_actor_lives_on() {
    let _runtime = start();
    let hall = hall(3);
    let failed: Vec<_> = (0..30).map(|number| hall.fail(format!("failure {number}")).remote()).collect();
    for (number, one) in failed.iter().enumerate() {
        let error = get(one).unwrap_err();
        let failure = error.task_failure().unwrap();
        assert_eq!(failure.message, format!("failure {number}"));
        assert!(failure.location.as_deref().is_some_and(|place| place.contains("main.rs")), "{failure:?}");
    }
    let both = [hall.fail_together().remote(), hall.fail_together().remote()];
    for one in &both {
        assert_eq!(get(one).unwrap_err().task_failure().unwrap().message, "both");
    }
    assert!(get(&hall.fail_alone().remote()).unwrap_err().is_task_failed());
    assert_eq!(get(&hall.meet(1).remote()).unwrap(), 1);
    assert_eq!(get(&hall.write().remote()).unwrap(), 1);
}
