//! Lines of several workers that are alike are printed as one.

use super::support::{Ran, config, get};
use super::{Speaker, driver, driver_with, is_driver};

/// Has ten actors say the same, one after the other.
fn ten_say(text: &str) {
    let speakers: Vec<_> = (0..10).map(|_| Speaker::remote().unwrap()).collect();
    for (number, speaker) in speakers.iter().enumerate() {
        get(&speaker.say(text.replace('#', &number.to_string())).remote()).unwrap();
    }
}

/// Returns the lines of speakers without what is in front of them.
fn said(ran: &Ran) -> Vec<&str> {
    let lines = ran.err.lines().filter(|line| line.contains("(Speaker pid="));
    lines.map(|line| line.split_once(") ").unwrap().1).collect()
}

#[test]
fn ten_workers_that_say_the_same_are_two_lines() {
    let ran = driver("folding::ten_speakers");
    let said = said(&ran);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("step ") && !said[0].contains("repeated"), "{said:?}");
    assert!(said[1].starts_with("step ") && said[1].ends_with(" of 10 [repeated 9x]"), "{said:?}");
}

#[test]
fn the_variable_turns_it_off() {
    let ran = driver_with("folding::ten_speakers", |command| command.env("MOBULA_FOLD_LOGS", "0"));
    let mut said = said(&ran);
    said.sort_unstable();
    assert_eq!(said, (0..10).map(|number| format!("step {number} of 10")).collect::<Vec<_>>());
}

#[mobula::test]
fn ten_speakers() {
    if is_driver() {
        let _runtime = mobula::init(config(2.0)).unwrap();
        ten_say("step # of 10");
    }
}

#[test]
fn the_option_turns_it_off() {
    let ran = driver("folding::ten_speakers_and_no_folding");
    assert_eq!(said(&ran).len(), 10);
}

#[mobula::test]
fn ten_speakers_and_no_folding() {
    if is_driver() {
        let _runtime = mobula::init(config(2.0).fold_logs(false)).unwrap();
        ten_say("step # of 10");
    }
}

#[test]
fn nothing_is_printed_if_the_driver_does_not_want_it() {
    let ran = driver_with("folding::ten_speakers", |command| command.env("MOBULA_LOG_TO_DRIVER", "0"));
    assert!(said(&ran).is_empty());
}

#[test]
fn one_that_repeats_itself_is_printed_each_time() {
    let ran = driver("folding::one_speaker");
    assert_eq!(said(&ran), (0..10).map(|number| format!("step {number}")).collect::<Vec<_>>());
}

#[mobula::test]
fn one_speaker() {
    if is_driver() {
        let _runtime = mobula::init(config(2.0)).unwrap();
        let speaker = Speaker::remote().unwrap();
        (0..10).for_each(|number| get(&speaker.say(format!("step {number}")).remote()).unwrap());
    }
}

#[test]
fn the_last_words_of_a_dead_worker_come_too() {
    let ran = driver("folding::a_speaker_that_dies");
    assert!(said(&ran).contains(&"these are my last words"), "{}", ran.err);
}

#[mobula::test]
fn a_speaker_that_dies() {
    if is_driver() {
        let _runtime = mobula::init(config(2.0)).unwrap();
        let speaker = Speaker::remote().unwrap();
        let error = get(&speaker.say_and_die("these are my last words").remote()).unwrap_err();
        assert!(error.is_actor_died());
    }
}
