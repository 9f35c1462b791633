//! Names of actors: who gets them, who waits, when they are free.

use mobula_scheduler::death::DeathCause;
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::{ActorName, Answer, Holder, ToNode, ToProcess};
use mobula_scheduler::resources::Demand;
use mobula_store::{ObjectHold, ObjectId};

use super::Scenario;
use super::driver::{Driver, options, until};
use super::messages::{actor_spec, claim, name_in};

pub(super) const ALL: &[Scenario] = scenarios![
    a_name_belongs_to_one_actor,
    a_name_is_free_when_its_actor_has_died_of_anything,
    an_expected_actor_has_its_name_until_it_is_given_up,
    who_waits_for_an_end_gets_the_name_in_order,
    a_creator_that_dies_leaves_no_name,
    who_is_gone_waits_for_no_name,
    an_actor_that_leaves_is_waited_for,
    claims_without_sense_are_refused,
    the_creator_hears_that_its_expected_actor_was_killed,
];

impl Driver {
    /// Claims a name for a new actor.
    fn claim(&self, name: &str, or_get: bool) -> (ActorId, ObjectHold, Answer) {
        let (id, life) = self.life();
        (id, life, self.claim_for(name, id, or_get))
    }

    fn claim_for(&self, name: &str, id: ActorId, or_get: bool) -> Answer {
        let request = self.next_request();
        self.link.send(ToNode::ClaimName { claim: claim(name, id, or_get), request });
        self.reply(request)
    }

    /// Creates an actor of a name that is free.
    fn create_named(&self, name: &str, class: &str) -> (ActorId, ObjectHold) {
        let (id, life, answer) = self.claim(name, false);
        assert!(matches!(answer, Answer::Done), "{answer:?}");
        self.link.send(ToNode::CreateActor(actor_spec(id, class, Demand::new())));
        (id, life)
    }

    fn find(&self, name: &str) -> Option<Holder> {
        self.find_in("here", name)
    }

    fn find_in(&self, namespace: &str, name: &str) -> Option<Holder> {
        let request = self.next_request();
        self.link.send(ToNode::FindActor { name: name_in(namespace, name), request });
        match self.reply(request) {
            Answer::Named(holder) => Some(holder),
            Answer::NotFound => None,
            other => panic!("{other:?}"),
        }
    }

    fn names(&self, namespace: Option<&str>) -> Vec<ActorName> {
        let request = self.next_request();
        self.link.send(ToNode::ListNames { namespace: namespace.map(str::to_owned), request });
        match self.reply(request) {
            Answer::Names(mut names) => {
                names.sort();
                names
            }
            other => panic!("{other:?}"),
        }
    }

    fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    fn kill_and_wait(&self, id: ActorId) {
        let request = self.kill(id);
        self.down(id);
        assert!(matches!(self.reply(request), Answer::Done));
    }
}

fn taken_by(answer: &Answer) -> ActorId {
    match answer {
        Answer::NameTaken(holder) => holder.actor,
        other => panic!("{other:?}"),
    }
}

fn named(answer: &Answer) -> ActorId {
    match answer {
        Answer::Named(holder) => holder.actor,
        other => panic!("{other:?}"),
    }
}

fn a_name_belongs_to_one_actor() {
    let driver = Driver::start(options());
    assert!(driver.find("a").is_none());
    let (id, _life, answer) = driver.claim("a", false);
    assert!(matches!(answer, Answer::Done), "{answer:?}");
    let holder = driver.find("a").unwrap();
    assert_eq!((holder.actor, holder.class_name.as_str(), holder.options.as_slice()), (id, "Plain", &[1, 2][..]));
    assert_eq!(taken_by(&driver.claim("a", false).2), id);
    driver.link.send(ToNode::CreateActor(actor_spec(id, "Plain", Demand::new())));
    driver.up(id);
    assert_eq!(taken_by(&driver.claim("a", false).2), id);
    assert_eq!(named(&driver.claim("a", true).2), id);
    assert!(driver.find_in("there", "a").is_none());
    let (other, _other_life) = driver.create_named("b", "Plain");
    driver.up(other);
    assert_eq!(driver.names(None), [name_in("here", "a"), name_in("here", "b")]);
    assert_eq!(driver.names(Some("there")), []);
    assert_eq!(driver.names(Some("here")).len(), 2);
}

fn a_name_is_free_when_its_actor_has_died_of_anything() {
    let driver = Driver::start(options());
    for class in ["Abort", "Exit", "Fail"] {
        let (id, _life) = driver.create_named("a", class);
        driver.up(id);
        driver.down(id);
        assert!(driver.find("a").is_none(), "{class}");
    }
    let (id, _life) = driver.create_named("a", "Plain");
    driver.up(id);
    driver.kill_and_wait(id);
    assert!(driver.find("a").is_none());
    let (id, life) = driver.create_named("a", "Plain");
    driver.up(id);
    drop(life);
    driver.down(id);
    assert_eq!(driver.names(None), []);
    // One that can never be placed, and one that was not yet.
    let (id, life, _) = driver.claim("a", false);
    driver.link.send(ToNode::CreateActor(actor_spec(id, "Plain", Demand::new().cpus(64.0).unwrap())));
    assert!(matches!(driver.down(id).cause, DeathCause::CreationFailed(_)));
    assert!(driver.find("a").is_none());
    drop(life);
}

fn an_expected_actor_has_its_name_until_it_is_given_up() {
    let driver = Driver::start(options());
    let (id, life, answer) = driver.claim("a", false);
    assert!(matches!(answer, Answer::Done));
    assert_eq!(named(&driver.claim("a", true).2), id);
    driver.link.send(ToNode::ActorFailed { actor: id, message: "no argument".into() });
    assert_eq!(driver.down(id).cause, DeathCause::CreationFailed("no argument".into()));
    assert!(driver.find("a").is_none());
    drop(life);
    let (id, life, _) = driver.claim("a", false);
    drop(life);
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope);
    assert!(driver.find("a").is_none());
    driver.link.send(ToNode::CreateActor(actor_spec(id, "Plain", Demand::new())));
    assert_eq!(driver.down(id).cause, DeathCause::OutOfScope, "it is not created any more");
}

fn who_waits_for_an_end_gets_the_name_in_order() {
    let driver = Driver::start(options());
    let path = driver.report_path("leaver");
    let (id, _life, _) = driver.claim("a", false);
    let mut spec = actor_spec(id, "Leaver", Demand::new());
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    until("the report", || std::fs::read_to_string(&path).ok());
    let claims: Vec<_> = (0..5)
        .map(|_| {
            let (id, life) = driver.life();
            let request = driver.next_request();
            driver.link.send(ToNode::ClaimName { claim: claim("a", id, true), request });
            (id, life, request)
        })
        .collect();
    for (_, _, request) in &claims {
        assert!(matches!(driver.reply(*request), Answer::Later));
    }
    assert_eq!(taken_by(&driver.claim("a", false).2), id);
    assert_eq!(driver.find("a").unwrap().actor, id);
    std::fs::remove_file(&path).unwrap();
    driver.down(id);
    let first = claims[0].0;
    assert!(matches!(driver.reply(claims[0].2), Answer::Done));
    for (_, _, request) in &claims[1..] {
        assert_eq!(named(&driver.reply(*request)), first);
    }
    assert_eq!(driver.find("a").unwrap().actor, first);
}

/// Starts an actor that claims names, and returns it with the actors that they are for.
fn namer(driver: &Driver, claims: &[(bool, &str)]) -> (ActorId, ObjectHold, Vec<ActorId>) {
    let ids: Vec<_> = claims.iter().map(|_| ActorId::random()).collect();
    let lines: Vec<_> = claims.iter().zip(&ids).map(|((or_get, name), id)| format!("{or_get} {id} {name}")).collect();
    let (id, life) = driver.life();
    let mut spec = actor_spec(id, "Namer", Demand::new());
    spec.args.bytes = lines.join("\n").into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    (id, life, ids)
}

fn a_creator_that_dies_leaves_no_name() {
    let driver = Driver::start(options());
    let (namer, _life, ids) = namer(&driver, &[(false, "a"), (true, "b")]);
    until("the claims", || (driver.names(None).len() == 2).then_some(()));
    assert_eq!(driver.find("b").unwrap().actor, ids[1]);
    // Handles elsewhere do not help it.
    let _strong = driver.node.store().hold(ids[0].object()).unwrap();
    driver.link.send(ToNode::WatchActor(ids[0]));
    let request = driver.kill(namer);
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(match driver.next() {
            ToProcess::ActorDown(death) => (Some(death.actor), Some(death.cause)),
            ToProcess::Reply { request: number, answer: Answer::Done } if number == request => (None, None),
            ToProcess::ProcessGone(_) => continue,
            other => panic!("{other:?}"),
        });
    }
    assert!(heard.contains(&(Some(ids[0]), Some(DeathCause::OwnerDied))), "{heard:?}");
    assert_eq!(driver.names(None), []);
}

fn who_is_gone_waits_for_no_name() {
    let driver = Driver::start(options());
    let path = driver.report_path("leaver");
    let (id, _life, _) = driver.claim("a", false);
    let mut spec = actor_spec(id, "Leaver", Demand::new());
    spec.args.bytes = path.clone().into_bytes();
    driver.link.send(ToNode::CreateActor(spec));
    driver.up(id);
    until("the report", || std::fs::read_to_string(&path).ok());
    let (namer, _namer_life, ids) = namer(&driver, &[(false, "other"), (true, "a")]);
    until("the claims", || driver.find("other"));
    let (mine, _my_life) = driver.life();
    let request = driver.next_request();
    driver.link.send(ToNode::ClaimName { claim: claim("a", mine, true), request });
    assert!(matches!(driver.reply(request), Answer::Later), "the other one is before");
    driver.kill_and_wait(namer);
    std::fs::remove_file(&path).unwrap();
    driver.down(id);
    assert!(matches!(driver.reply(request), Answer::Done));
    assert_ne!(driver.find("a").unwrap().actor, ids[1]);
    assert_eq!(driver.names(None), [name_in("here", "a")]);
}

fn an_actor_that_leaves_is_waited_for() {
    let driver = Driver::start(options());
    // One that is killed is not to be had, while its process is still there or not.
    for _ in 0..20 {
        let (id, _life) = driver.create_named("a", "Plain");
        driver.up(id);
        let (next, _next_life) = driver.life();
        let (killed, claimed) = (driver.kill(id), driver.next_request());
        driver.link.send(ToNode::ClaimName { claim: claim("a", next, true), request: claimed });
        let (mut down, mut done) = (false, Vec::new());
        while !down || done.len() < 2 {
            match driver.next() {
                ToProcess::ActorDown(death) => down = death.actor == id,
                ToProcess::Reply { request, answer: Answer::Done } => done.push(request),
                ToProcess::Reply { request, answer: Answer::Later } => assert!(request == claimed && done.is_empty()),
                ToProcess::ProcessGone(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(done.contains(&killed) && done.contains(&claimed));
        driver.kill_and_wait(next);
    }
}

fn claims_without_sense_are_refused() {
    let driver = Driver::start(options());
    let (id, life) = driver.create_named("a", "Plain");
    driver.up(id);
    assert!(matches!(driver.claim_for("b", id, false), Answer::NotFound), "an actor has one name");
    let never = ActorId::from_object(ObjectId::random());
    assert!(matches!(driver.claim_for("b", never, true), Answer::NotFound), "its life has not begun");
    let (nameless, _nameless_life) = driver.create("Plain", Demand::new());
    driver.up(nameless);
    assert!(matches!(driver.claim_for("b", nameless, true), Answer::NotFound), "it is there already");
    drop(life);
    driver.down(id);
    assert!(matches!(driver.claim_for("b", id, false), Answer::NotFound), "it is dead");
    assert_eq!(driver.names(None), []);
}

fn the_creator_hears_that_its_expected_actor_was_killed() {
    let driver = Driver::start(options());
    let (id, _life, _) = driver.claim("a", false);
    let request = driver.kill(id);
    assert_eq!(driver.down(id).cause, DeathCause::Killed);
    assert!(matches!(driver.reply(request), Answer::Done));
    assert!(driver.find("a").is_none());
    driver.link.send(ToNode::CreateActor(actor_spec(id, "Plain", Demand::new())));
    assert_eq!(driver.down(id).cause, DeathCause::Killed);
}
