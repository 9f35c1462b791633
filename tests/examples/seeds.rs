//! `seeds`: the programs themselves, not what they print, with their sleeps cut short.

#![allow(unreachable_pub, clippy::print_stdout, reason = "as in the program that they are of")]
#![allow(dead_code, reason = "the program uses some things alone")]

#[path = "../../examples/seeds/accounting.rs"]
mod accounting;
#[path = "../../examples/seeds/counters.rs"]
mod counters;
#[path = "../../examples/seeds/cuda.rs"]
mod cuda;
#[path = "../../examples/data/digits.rs"]
mod digits;
#[path = "../../examples/seeds/environments.rs"]
mod environments;
#[path = "../../examples/seeds/exercises.rs"]
mod exercises;
#[path = "../../examples/seeds/goals_scored.rs"]
mod goals_scored;
#[path = "../../examples/seeds/gym.rs"]
mod gym;
#[path = "../../examples/seeds/linear_model.rs"]
mod linear_model;
#[path = "../../examples/seeds/messages.rs"]
mod messages;
#[path = "../../examples/seeds/neural_net.rs"]
mod neural_net;
#[path = "../../examples/seeds/parameter_server.rs"]
mod parameter_server;
#[path = "../../examples/seeds/processes.rs"]
mod processes;
#[path = "../../examples/seeds/random.rs"]
mod random;
#[path = "../../examples/seeds/supervisor.rs"]
mod supervisor;
#[path = "../../examples/seeds/taxi.rs"]
mod taxi;
#[path = "../../examples/seeds/time.rs"]
mod time;

use std::collections::{HashMap, HashSet};
use std::fs;

use super::{run, support};

#[mobula::test]
fn goals_scored_name_and_age_stay_and_neymar_scores_three() {
    let [before, after] = goals_scored::run().unwrap();
    let names: Vec<_> = before.iter().map(|(player, ..)| player.as_str()).collect();
    assert_eq!(names, ["Ronaldo", "Neymar", "Messi"]);
    for ((player, age, goals), then) in before.iter().zip(&after) {
        assert!((18..=35).contains(age) && (1..=7).contains(goals), "{player}: {age}, {goals}");
        let more = if player == "Neymar" { 3 } else { 0 };
        assert_eq!(*then, (player.clone(), *age, goals + more));
    }
}

#[mobula::test]
fn supervisor_and_workers_are_polled_until_all_are_done_and_end() {
    time::set_scale(0.01);
    for models in [supervisor::GUIDED_TOUR, supervisor::LES_ACTEURS] {
        let supervisor::Outcome { polls, pids, gone } = supervisor::run(models).unwrap();
        assert!(polls.iter().all(|states| states.len() == 3), "{polls:?}");
        assert!(polls.iter().flatten().all(|state| state == "RUNNING" || state == "DONE"), "{polls:?}");
        let (last, others) = polls.split_last().unwrap();
        assert_eq!(last, &["DONE"; 3]);
        assert!(others.iter().all(|states| states.iter().any(|state| state == "RUNNING")), "{polls:?}");
        assert_eq!(pids.len(), 4);
        assert!(gone, "a process of {pids:?} is left");
    }
}

#[mobula::test]
fn example_sets_and_gets() {
    assert_eq!(exercises::example().unwrap(), 2);
}

#[mobula::test]
fn exercise_4_runs_two_actors_each_in_order() {
    time::set_scale(0.1);
    let exercises::Exercise4 { results, duration } = exercises::exercise_4().unwrap();
    assert_eq!(results, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert!(duration > 0.25, "five increments one after the other take {duration} s");
}

#[mobula::test]
fn exercise_4_judges_results_and_both_ends_of_the_time() {
    let results = vec![1, 1, 2, 2, 3, 3, 4, 4, 5, 5];
    let verify = |results: &[i64], duration| exercises::Exercise4 { results: results.to_vec(), duration }.verify();
    assert_eq!(verify(&results, 2.6), Ok(()));
    assert!(verify(&results, 2.5).unwrap_err().contains("too fast"));
    assert!(verify(&results, 3.0).unwrap_err().contains("too slow"));
    assert!(verify(&results[1..], 2.6).unwrap_err().contains("[1, 2, 2"));
}

#[mobula::test]
fn three_tasks_share_one_actor() {
    let mut told = exercises::shared_actor().unwrap();
    told.sort_unstable();
    assert_eq!(told, [1, 2, 3]);
}

#[mobula::test]
fn exercise_5_gathers_the_logs_of_three_experiments_while_they_run() {
    time::set_scale(0.005);
    let polls: Vec<HashMap<usize, Vec<String>>> = exercises::exercise_5().unwrap();
    let all: Vec<_> = (0..60).map(|i| format!("On iteration {i}")).collect();
    for pair in polls.windows(2) {
        for (index, lines) in &pair[0] {
            assert!(pair[1][index].starts_with(lines), "the log of experiment {index} only grows");
        }
    }
    let last = polls.last().unwrap();
    assert_eq!(last.len(), 3);
    for index in 0..3 {
        assert_eq!(last[&index], all);
    }
}

#[mobula::test]
fn environments_step_each_for_itself() {
    let [step1, step2] = environments::run().unwrap();
    assert_eq!((step1.episode_frame_number, step2.episode_frame_number), (1, 4));
    for step in [step1, step2] {
        assert_eq!(step.observation.shape(), gym::SHAPE);
        // A court with two paddles and a ball.
        assert!(step.observation.chunks(3).collect::<HashSet<_>>().len() >= 3);
        assert_eq!((step.reward, step.done), (0.0, false));
    }
}

#[mobula::test]
fn an_environment_plays_to_the_end_and_an_unknown_one_is_an_error() {
    let mut pong = gym::make("Pong-v0").unwrap();
    let mut rewards = Vec::new();
    loop {
        // Who stays at the top loses, as a rule.
        let (reward, done) = pong.step(2);
        rewards.push(reward);
        assert!(rewards.len() < 100_000, "the game does not end");
        if done {
            break;
        }
    }
    let points = |of: f64| rewards.iter().filter(|reward| **reward == of).count();
    assert!(points(1.0).max(points(-1.0)) == 21, "{} to {}", points(1.0), points(-1.0));
    assert_eq!(pong.frame() as usize, rewards.len());
    pong.reset();
    assert_eq!(pong.frame(), 0);

    let _runtime = support::start();
    let none = environments::GymEnvironment::remote("Chess-v0").unwrap();
    let error = mobula::get(&none.step(0).remote()).map(|_| ()).unwrap_err();
    assert!(error.is_actor_died() && error.to_string().contains("Chess-v0"), "{error}");
}

#[mobula::test]
fn counters_count_each_for_itself_and_in_order() {
    let [once, more] = counters::run().unwrap();
    assert_eq!(once, [1; 10]);
    assert_eq!(more, [2, 3, 4, 5, 6]);
}

#[mobula::test]
fn neural_net_gets_one_gpu_and_learns() {
    let neural_net::Outcome { gpu_ids, visible, accuracy } = neural_net::run().unwrap();
    assert_eq!((gpu_ids, visible.as_deref()), (vec![0], Some("0")));
    assert!(accuracy > 0.8, "accuracy {accuracy}");
}

#[mobula::test]
fn accounting_keeps_a_balance() {
    assert_eq!(accounting::run().unwrap(), [0, 90]);
}

#[mobula::test]
fn linear_model_converts() {
    assert_eq!(linear_model::run().unwrap(), 212.0);
}

#[mobula::test]
fn parameters_only_decrease_all_alike_and_by_whole_numbers() {
    time::set_scale(0.02);
    let seen = parameter_server::run().unwrap();
    assert_eq!(seen.len(), 21);
    assert_eq!(seen[0], [0.0; 10]);
    for params in &seen {
        assert!(params.iter().all(|param| *param == params[0] && param.fract() == 0.0), "{params:?}");
    }
    assert!(seen.is_sorted_by(|a, b| a[0] >= b[0]), "{seen:?}");
}

#[mobula::test]
fn three_workers_of_a_hundred_epochs_take_three_hundred_off() {
    time::set_scale(0.001);
    let _runtime = mobula::init(time::scaled(support::config(4.0))).unwrap();
    let server = parameter_server::ParameterServer::remote().unwrap();
    let params = || mobula::get(&server.get_params().remote()).unwrap();
    let before = params();
    for _ in 0..3 {
        parameter_server::worker::remote(&server);
    }
    support::eventually("all gradients arrive", || params()[..] == [-300.0; 10]);
    assert_eq!(before[..], [0.0; 10], "what was given out does not change");
}

#[mobula::test]
fn messages_arrive_once_and_in_the_order_of_each_worker() {
    time::set_scale(0.01);
    let polls = messages::run().unwrap();
    assert!(polls.len() >= 10);
    let all: Vec<String> = polls.into_iter().flatten().collect();
    assert_eq!(all.len(), 30);
    for j in 0..3 {
        let end = format!("from worker {j}.");
        let of_worker: Vec<_> = all.iter().filter(|message| message.ends_with(&end)).collect();
        let sent: Vec<_> = (0..10).map(|i| format!("Message {i} {end}")).collect();
        assert!(of_worker.into_iter().eq(&sent), "{all:?}");
    }
}

#[mobula::test]
fn taxis_pay_for_the_rides_given_and_the_circle_of_handles_ends() {
    time::set_scale(0.05);
    let taxi::Outcome { messages, total_commission, taxis, gone } = taxi::run().unwrap();
    let rides: Vec<(f64, &str)> = messages
        .iter()
        .filter_map(|message| message.strip_prefix("Course de ")?.split_once(" secondes envoy\u{e9}e \u{e0} "))
        .map(|(duration, driver)| (duration.parse().unwrap(), driver))
        .collect();
    assert_eq!(rides[0].1, "Daniel", "the first free one in order");
    let refused = messages.iter().filter(|message| *message == "Tous les taxis sont occup\u{e9}s").count();
    assert_eq!(rides.len() + refused, 10, "{messages:?}");
    for (duration, driver) in &rides {
        let commission = duration * taxi::COMMISSION_PER_SECOND;
        let paid = format!("Commission de {commission:?} re\u{e7}u de la part de {driver}");
        assert!(messages.contains(&paid), "{paid}: {messages:?}");
    }
    let seconds: f64 = rides.iter().map(|(duration, _)| duration).sum();
    assert_eq!(total_commission, 0.25 * seconds);

    let names: Vec<_> = taxis.iter().map(|taxi| taxi.name.as_str()).collect();
    assert_eq!(names, ["Daniel", "Petra", "Gilbert", "Emilien"]);
    for report in &taxis {
        let driven: f64 = rides.iter().filter(|(_, driver)| *driver == report.name).map(|(duration, _)| duration).sum();
        assert_eq!((report.cash, report.state.as_str()), (driven, taxi::DISPONIBLE), "{}", report.name);
    }
    assert!(gone, "dispatcher and taxis keep each other alive");
}

#[mobula::test]
fn every_program_is_listed_and_has_a_place_in_the_guide() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/seeds.md")).unwrap();
    let list = run("seeds", &["--list"]).succeeded();
    let names: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"taxi"), "{list}");
    for name in names {
        assert!(guide.contains(&format!("`{name}`")), "docs/seeds.md does not name {name}");
    }
    assert_eq!(run("seeds", &["accounting", "--scale", "0"]).succeeded().lines().last(), Some("90"));
    for wrong in [&["chess"][..], &["taxi", "--scale", "-1"], &[]] {
        assert_ne!(run("seeds", wrong).code, Some(0), "{wrong:?}");
    }
}
