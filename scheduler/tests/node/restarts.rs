//! Restarts of actors, message by message.

use mobula_scheduler::death::{ActorDeath, DeathCause};
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::{ActorSpec, Answer, ToNode, ToProcess};
use mobula_scheduler::resources::Demand;
use mobula_store::{Lifetime, ObjectHold, ObjectId, ObjectOptions};
use rustix::process::Signal;

use super::Scenario;
use super::driver::{Driver, options, until};
use super::messages::{actor_spec, cpus};
use super::processes::{is_gone, signal};

pub(super) const ALL: &[Scenario] = scenarios![
    a_crashed_actor_gets_another_process,
    each_end_uses_up_a_restart,
    a_failed_constructor_ends_the_actor,
    a_kill_can_leave_the_restarts,
    who_asks_during_a_restart_is_told,
    resources_stay_over_restarts_and_go_back_once,
    the_arguments_are_held_while_restarts_are_left,
    an_actor_that_leaves_is_not_restarted,
    a_last_handle_dropped_during_a_restart_ends_the_actor,
];

impl Driver {
    fn create_with(&self, class: &str, demand: Demand, max_restarts: i32) -> (ActorId, ObjectHold) {
        let (id, life) = self.life();
        let spec = actor_spec(id, class, demand);
        self.link.send(ToNode::CreateActor(ActorSpec { max_restarts, ..spec }));
        (id, life)
    }

    /// Waits until the actor is in its process of that number; returns its pid.
    fn up_again(&self, actor: ActorId, wanted: u32) -> u32 {
        self.expect("ActorUp", |message| match message {
            ToProcess::ActorUp { actor: id, pid, incarnation, .. } if *id == actor && *incarnation == wanted => {
                Some(*pid)
            }
            _ => None,
        })
    }

    /// Waits for the news that the process of that number has ended.
    fn restarting(&self, actor: ActorId, wanted: u32) -> (ActorDeath, bool) {
        self.expect("ActorRestarting", |message| match message {
            ToProcess::ActorRestarting { death, incarnation, begun }
                if death.actor == actor && *incarnation == wanted =>
            {
                Some((death.clone(), *begun))
            }
            _ => None,
        })
    }

    fn kill_process_of(&self, actor: ActorId) -> u64 {
        self.link.send(ToNode::KillActor { actor, restart: true, request: 1000 });
        1000
    }
}

fn a_crashed_actor_gets_another_process() {
    let driver = Driver::start(options());
    let (id, life) = driver.create_with("Plain", Demand::new(), 1);
    let first = driver.up(id).1;
    // Its constructor has run, or the news of its end would have to wait for what it has said of that.
    signal(first, Signal::KILL);
    let (death, _) = driver.restarting(id, 1);
    assert_eq!(death.pid, first);
    assert!(matches!(&death.cause, DeathCause::Crashed { status } if status.contains("SIGKILL")), "{death:?}");
    let second = driver.up_again(id, 2);
    // It begins when the one before is reaped.
    assert!(is_gone(first) && second != first);
    signal(second, Signal::KILL);
    let death = driver.down(id);
    assert_eq!(death.pid, second);
    drop(life);
}

fn each_end_uses_up_a_restart() {
    let driver = Driver::start(options());
    // Ends as soon as its constructor has run.
    let (id, _life) = driver.create_with("Abort", Demand::new(), 2);
    driver.up(id);
    assert!(driver.restarting(id, 1).1);
    driver.up_again(id, 2);
    assert!(driver.restarting(id, 2).1);
    driver.up_again(id, 3);
    assert!(matches!(driver.down(id).cause, DeathCause::Crashed { .. }));
}

fn a_failed_constructor_ends_the_actor() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create_with("Fail", Demand::new(), -1);
    driver.up(id);
    assert_eq!(driver.down(id).cause, DeathCause::CreationFailed("no luck today".into()));
}

fn a_kill_can_leave_the_restarts() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create_with("Plain", Demand::new(), 1);
    let first = driver.up(id).1;
    let request = driver.kill_process_of(id);
    assert_eq!(driver.restarting(id, 1).0.cause, DeathCause::Killed);
    assert!(matches!(driver.reply(request), Answer::Done));
    assert!(is_gone(first));
    driver.up_again(id, 2);
    let request = driver.kill(id);
    assert_eq!(driver.down(id).cause, DeathCause::Killed);
    assert!(matches!(driver.reply(request), Answer::Done));
}

fn who_asks_during_a_restart_is_told() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create_with("Plain", Demand::new(), -1);
    let mut pid = driver.up(id).1;
    // From the third process on an actor that ends at once waits before it starts.
    for incarnation in 1..=3 {
        signal(pid, Signal::KILL);
        driver.restarting(id, incarnation);
        if incarnation == 3 {
            driver.link.send(ToNode::WatchActor(id));
            assert_eq!(driver.restarting(id, 3).0.pid, pid);
        }
        pid = driver.up_again(id, incarnation + 1);
    }
    driver.link.send(ToNode::WatchActor(id));
    assert_eq!(driver.up_again(id, 4), pid);
}

fn resources_stay_over_restarts_and_go_back_once() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create_with("Plain", cpus(1.5), 2);
    let mut pid = driver.up(id).1;
    for incarnation in 1..=2 {
        signal(pid, Signal::KILL);
        driver.restarting(id, incarnation);
        assert_eq!(driver.available("CPU"), 0.5);
        pid = driver.up_again(id, incarnation + 1);
        assert_eq!(driver.available("CPU"), 0.5);
    }
    signal(pid, Signal::KILL);
    driver.down(id);
    until("the CPUs", || (driver.available("CPU") == 2.0).then_some(()));
}

fn the_arguments_are_held_while_restarts_are_left() {
    let driver = Driver::start(options());
    let (id, _life) = driver.life();
    let object = ObjectId::random();
    let counted = ObjectOptions::new().lifetime(Lifetime::Counted);
    let hold = driver.node.store().create_object_with(object, 8, &counted).unwrap().seal().unwrap().hold();
    let mut spec = actor_spec(id, "Plain", Demand::new());
    spec.max_restarts = 1;
    spec.args.ids.push(object);
    driver.link.send(ToNode::CreateActor(spec));
    let first = driver.up(id).1;
    drop(hold);
    signal(first, Signal::KILL);
    driver.restarting(id, 1);
    assert!(driver.node.store().exists(object));
    driver.up_again(id, 2);
    // Nobody will need it again.
    until("the end of the argument", || (!driver.node.store().exists(object)).then_some(()));
}

fn an_actor_that_leaves_is_not_restarted() {
    let driver = Driver::start(options());
    let (id, _life) = driver.create_with("Exit", Demand::new(), -1);
    driver.up(id);
    assert_eq!(driver.down(id).cause, DeathCause::Exited);
}

fn a_last_handle_dropped_during_a_restart_ends_the_actor() {
    let driver = Driver::start(options());
    let (id, life) = driver.create_with("Plain", cpus(1.0), -1);
    let mut pid = driver.up(id).1;
    for incarnation in 1..=2 {
        signal(pid, Signal::KILL);
        driver.restarting(id, incarnation);
        pid = driver.up_again(id, incarnation + 1);
    }
    signal(pid, Signal::KILL);
    driver.restarting(id, 3);
    drop(life);
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
    until("the CPUs", || (driver.available("CPU") == 2.0).then_some(()));
}
