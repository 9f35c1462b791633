//! A fleet of taxis: actors that make actors, and that know each other in both directions.
//!
//! ```text
//!   simulation --assign_ride--> dispatcher ==take_ride==> Daniel, Petra, Gilbert, Emilien
//!                                   ^                                     |
//!                                   +----------- ride_complete -----------+
//! ```
//!
//! The dispatcher owns the taxis (double line). The handle that the taxis have of it comes from `current_actor` and is
//! weak: it does not keep the dispatcher alive, so the circle ends when nobody outside of it has a handle any more.

use std::process;

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::messages::MessageActor;
use super::processes::all_gone;
use super::random::randint;
use super::time;

pub(crate) const DISPONIBLE: &str = "disponible";
const OCCUPE: &str = "occupe";
const PRICE_PER_SECOND: f64 = 1.25;
pub(crate) const COMMISSION_PER_SECOND: f64 = 0.25;

/// What a taxi says of itself at the end of the day.
#[derive(Serialize, Deserialize)]
pub struct Report {
    pub name: String,
    pub cash: f64,
    pub state: String,
    pub pid: u32,
}

pub struct Taxi {
    #[expect(dead_code, reason = "the exercise gives it to every taxi, and no taxi has anything to say")]
    message_actor: ActorHandle<MessageActor>,
    dispatcher: ActorHandle<Dispatcher>,
    name: String,
    cash: f64,
    state: &'static str,
}

#[mobula::actor]
impl Taxi {
    pub fn new(name: String, message_actor: ActorHandle<MessageActor>, dispatcher: ActorHandle<Dispatcher>) -> Self {
        Taxi { message_actor, dispatcher, name, cash: 0.0, state: DISPONIBLE }
    }

    pub fn take_ride(&mut self, duration: u32) {
        self.state = OCCUPE;
        let seconds = f64::from(duration);
        time::sleep(seconds);
        self.cash += seconds * (PRICE_PER_SECOND - COMMISSION_PER_SECOND);
        // Not waited for: the dispatcher may be about to call this taxi.
        self.dispatcher.ride_complete(&self.name, seconds * COMMISSION_PER_SECOND).remote();
        self.state = DISPONIBLE;
    }

    pub fn report(&self) -> Report {
        Report { name: self.name.clone(), cash: self.cash, state: self.state.to_owned(), pid: process::id() }
    }
}

pub struct Dispatcher {
    message_actor: ActorHandle<MessageActor>,
    cash: f64,
    staff: Vec<(String, &'static str)>,
    taxis: Vec<ActorHandle<Taxi>>,
}

#[mobula::actor]
impl Dispatcher {
    pub fn new(message_actor: ActorHandle<MessageActor>) -> mobula::Result<Self> {
        let names = ["Daniel", "Petra", "Gilbert", "Emilien"];
        let myself = mobula::context().current_actor::<Dispatcher>();
        let taxis = names.map(|name| Taxi::remote(name, &message_actor, &myself));
        Ok(Dispatcher {
            message_actor,
            cash: 0.0,
            staff: names.map(|name| (name.to_owned(), DISPONIBLE)).to_vec(),
            taxis: taxis.into_iter().collect::<mobula::Result<_>>()?,
        })
    }

    /// Sends the first free taxi. Who is free stands in `staff`: a taxi that drives would not answer.
    pub fn assign_ride(&mut self, duration: u32) {
        for ((driver, status), taxi) in self.staff.iter_mut().zip(&self.taxis) {
            if *status == DISPONIBLE {
                let message = format!("Course de {duration} secondes envoy\u{e9}e \u{e0} {driver}");
                self.message_actor.add_message(message).remote();
                *status = OCCUPE;
                taxi.take_ride(duration).remote();
                return;
            }
        }
        self.message_actor.add_message("Tous les taxis sont occup\u{e9}s").remote();
    }

    pub fn ride_complete(&mut self, driver: String, commission: f64) {
        let message = format!("Commission de {commission:?} re\u{e7}u de la part de {driver}");
        self.message_actor.add_message(message).remote();
        self.cash += commission;
        for (name, status) in &mut self.staff {
            if *name == driver {
                *status = DISPONIBLE;
            }
        }
    }

    pub fn get_cash(&self) -> f64 {
        self.cash
    }

    pub fn get_taxis(&self) -> Vec<ActorHandle<Taxi>> {
        self.taxis.clone()
    }

    pub fn pid(&self) -> u32 {
        process::id()
    }
}

pub struct Simulation {
    dispatcher: ActorHandle<Dispatcher>,
}

#[mobula::actor]
impl Simulation {
    pub fn new(dispatcher: ActorHandle<Dispatcher>) -> Self {
        Simulation { dispatcher }
    }

    pub fn run(&self) {
        for _ in 0..10 {
            self.dispatcher.assign_ride(randint(1, 5)).remote();
            time::sleep(1.0);
        }
    }

    pub fn get_dispatcher(&self) -> ActorHandle<Dispatcher> {
        self.dispatcher.clone()
    }
}

/// What came of a day.
#[allow(dead_code, reason = "for the tests")]
pub(crate) struct Outcome {
    pub(crate) messages: Vec<String>,
    pub(crate) total_commission: f64,
    pub(crate) taxis: Vec<Report>,
    /// Whether the processes of dispatcher and taxis ended with their handles, while the runtime went on.
    pub(crate) gone: bool,
}

pub(crate) fn run() -> mobula::Result<Outcome> {
    let _runtime = mobula::init(time::scaled(Config::new()))?;

    let message_actor = MessageActor::remote()?;
    let dispatcher = Dispatcher::remote(&message_actor)?;
    let simulation = Simulation::remote(&dispatcher)?;
    simulation.run().remote();

    let mut messages = Vec::new();
    let mut seconds = 0;
    // The last ride is over after 14 s. With a small scale what is no sleep is not as small, so look before leaving.
    while seconds < 15 || !is_over(&messages) {
        let new = mobula::get(&message_actor.get_and_clear_messages().remote())?;
        println!("{new:?}");
        messages.extend(new);
        time::sleep(1.0);
        seconds += 1;
    }
    let total_commission = mobula::get(&dispatcher.get_cash().remote())?;
    println!("Commission totale collect\u{e9}e {total_commission:?}");

    let taxis = mobula::get(&dispatcher.get_taxis().remote())?;
    let reports: Vec<_> = taxis.iter().map(|taxi| taxi.report().remote()).collect();
    let reports = mobula::get_all(&reports)?;
    let mut pids: Vec<u32> = reports.iter().map(|report| report.pid).collect();
    pids.push(mobula::get(&dispatcher.pid().remote())?);

    // The dispatcher has handles of the taxis and they have one of it. They end all the same.
    drop((taxis, simulation, dispatcher));
    let gone = all_gone(&pids);
    println!("dispatcher and taxis, {} processes: {}", pids.len(), if gone { "all gone" } else { "some are left" });
    Ok(Outcome { messages, total_commission, taxis: reports, gone })
}

/// Says whether all ten rides were asked for, and all that were given are over.
fn is_over(messages: &[String]) -> bool {
    let count = |start: &str| messages.iter().filter(|message| message.starts_with(start)).count();
    let (given, refused, over) = (count("Course"), count("Tous"), count("Commission"));
    given + refused == 10 && over == given
}
