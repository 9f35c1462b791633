//! Detached actors: they outlive their handles, their creator and their driver, and end with the node or by `kill`.

use mobula::prelude::*;

use super::counter::Counter;
use super::support::{eventually, get, is_alive, stats};
use super::{Program, address, all_gone, children, node};

#[mobula::test]
fn outlives_its_handles() {
    let _runtime = node(2.0);
    for round in 0..20 {
        // The handle goes at once, perhaps before the node has heard of the actor.
        let name = format!("kept-{round}");
        drop(Counter::options().name(&*name).lifetime(Lifetime::Detached).remote(round).unwrap());
    }
    let nameless = Counter::options().lifetime(Lifetime::Detached).num_cpus(0.25).remote(0).unwrap();
    let pid = get(&nameless.pid().remote()).unwrap();
    drop(nameless);
    for round in 0..20 {
        let kept: ActorHandle<Counter> = mobula::get_actor(&format!("kept-{round}")).unwrap();
        assert_eq!(get(&kept.add(1).remote()).unwrap(), round + 1);
    }
    assert!(is_alive(pid));
    assert_eq!(mobula::available_resources()["CPU"], 1.75);
    let kept: ActorHandle<Counter> = mobula::get_actor("kept-3").unwrap();
    mobula::kill(&kept).unwrap();
    assert!(mobula::get_actor::<Counter>("kept-3").unwrap_err().is_not_found());
    assert_eq!(mobula::list_named_actors(false).unwrap().len(), 19);
}

#[mobula::test]
fn outlives_its_driver_and_is_found_by_the_next_one() {
    let runtime = node(2.0);
    for how in ["end", "kill", "leave"] {
        let mut second = Program::start(&address(&runtime), "shared");
        let mut pids = second.pids("detach lasting");
        pids.extend(second.pids("birth lasting"));
        let scoped = second.pids("create scoped");
        let tasks = second.pids("tasks 5");
        assert_eq!(second.say("add shared lasting 5"), "5");
        match how {
            "end" => drop(second.end()),
            "kill" => second.kill(),
            _ => assert_eq!(second.say("leave"), "left"),
        }
        all_gone(&scoped);
        assert!(pids.iter().all(|&pid| is_alive(pid)), "{how}: it and its child go on");
        let mut third = Program::start(&address(&runtime), "shared");
        eventually("only its name is left", || third.say("names") == "shared/lasting");
        assert_eq!(third.say("add shared lasting 2"), "7");
        assert_eq!(third.say("find lasting"), pids[0].to_string());
        let ours: ActorHandle<Counter> = mobula::get_actor_in("shared", "lasting").unwrap();
        // Its driver is gone, and it still has workers of that driver's: for its children and tasks.
        let child = get(&ours.give_birth().remote()).unwrap();
        let worker = get(&ours.delegate().remote()).unwrap();
        pids.extend([child, worker]);
        pids.extend(tasks);
        let exe = std::fs::read_link(format!("/proc/{child}/exe")).unwrap();
        assert_eq!(exe, std::fs::read_link(format!("/proc/{}/exe", third.child.id())).unwrap());
        assert_eq!(std::fs::read_link(format!("/proc/{worker}/exe")).unwrap(), exe);
        third.end();
        assert_eq!(get(&ours.add(1).remote()).unwrap(), 8);
        mobula::kill(&ours).unwrap();
        all_gone(&pids);
        eventually("nothing is left of its driver", || children().iter().all(|pid| !pids.contains(pid)));
        assert!(mobula::list_named_actors(true).unwrap().is_empty());
        eventually("resources are back", || mobula::available_resources()["CPU"] == 2.0);
    }
}

/// What it runs is the file that its driver ran, not what has that name now.
#[mobula::test]
fn runs_the_same_file_when_that_is_replaced() {
    let runtime = node(2.0);
    let folder = super::support::Scratch::new("program");
    std::fs::create_dir(folder.path()).unwrap();
    let path = folder.path().join("program");
    std::fs::copy(super::example("drivers"), &path).unwrap();
    let mut command = std::process::Command::new(&path);
    command.env("MOBULA_ADDRESS", address(&runtime)).env("DRIVER_NAMESPACE", "second");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut second = Program::run(&mut command);
    let pid = second.pids("detach lasting")[0];
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "no program").unwrap();
    second.pids("create more");
    second.kill();
    let lasting: ActorHandle<Counter> = mobula::get_actor_in("second", "lasting").unwrap();
    let child = get(&lasting.give_birth().remote()).unwrap();
    let exe = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(exe(child), exe(pid));
    assert!(exe(pid).to_string_lossy().ends_with("(deleted)"));
    // Its next process, too.
    super::support::signal(pid, "KILL");
    let mut next = pid;
    eventually("it is restarted", || {
        next = get(&lasting.pid().remote()).unwrap_or(pid);
        next != pid
    });
    assert!(exe(next).to_string_lossy().ends_with("program (deleted)"));
}

#[mobula::test]
fn prints_to_its_file_alone_when_its_driver_is_gone() {
    let runtime = node(2.0);
    let mut second = Program::start(&address(&runtime), "second");
    let pid = second.say("detach lasting");
    second.say("print lasting before");
    assert!(second.end().contains("before"));
    let lasting: ActorHandle<Counter> = mobula::get_actor_in("second", "lasting").unwrap();
    get(&lasting.print("after").remote()).unwrap();
    let log = runtime.info().session_dir.join(format!("logs/worker-{pid}.out"));
    eventually("its file has all", || std::fs::read_to_string(&log).is_ok_and(|text| text == "before\nafter\n"));
}

/// A detached actor of a task or an actor outlives that, too.
#[mobula::test]
fn outlives_the_task_and_the_actor_that_created_it() {
    let _runtime = node(2.0);
    let before = stats();
    assert_eq!(get(&by_task::remote()).unwrap(), 1);
    let maker = Maker::remote().unwrap();
    get(&maker.make().remote()).unwrap();
    mobula::kill(&maker).unwrap();
    for name in ["by-task", "by-actor"] {
        let made: ActorHandle<Counter> = mobula::get_actor(name).unwrap();
        assert_eq!(get(&made.add(1).remote()).unwrap(), 2);
        mobula::kill(&made).unwrap();
    }
    drop(maker);
    super::support::all_space_back(before);
}

/// Creates a detached actor and ends.
#[mobula::task]
fn by_task() -> i64 {
    let made = Counter::options().name("by-task").lifetime(Lifetime::Detached).remote(0).unwrap();
    mobula::get(&made.add(1).remote()).unwrap()
}

struct Maker;

#[mobula::actor]
impl Maker {
    pub fn new() -> Self {
        Maker
    }

    pub fn make(&self) {
        let made = Counter::options().name("by-actor").lifetime(Lifetime::Detached).remote(0).unwrap();
        mobula::get(&made.add(1).remote()).unwrap();
    }
}
