//! `parameter_server`: it learns, in both modes, and its last line is for programs.

use std::collections::HashMap;

use super::run;

/// Runs it; returns the figures of the last line.
fn train(args: &[&str]) -> HashMap<String, String> {
    let out = run("parameter_server", args).succeeded();
    let last = out.lines().last().unwrap();
    let figures: HashMap<_, _> = last
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for name in ["accuracy", "rounds", "pushes_per_s", "gb_per_s", "workers", "mode", "wall_s"] {
        assert!(figures.contains_key(name), "{name} is missing in: {last}");
    }
    assert_eq!(figures["workers"], "2", "{last}");
    for name in ["accuracy", "pushes_per_s", "gb_per_s", "wall_s"] {
        let figure: f64 = figures[name].parse().unwrap();
        assert!(figure > 0.0, "{last}");
    }
    assert!(figures["rounds"].parse::<u64>().unwrap() > 0, "{last}");
    // Shown with --nocapture.
    eprintln!("{last}");
    figures
}

fn accuracy(figures: &HashMap<String, String>) -> f64 {
    figures["accuracy"].parse().unwrap()
}

#[mobula::test]
fn it_learns_in_rounds() {
    let figures = train(&["--workers", "2", "--epochs", "60", "--mode", "sync"]);
    assert_eq!(figures["mode"], "sync");
    assert!(accuracy(&figures) >= 0.89, "{figures:?}");
}

#[mobula::test]
fn it_learns_with_every_worker_at_its_own_pace() {
    let figures = train(&["--workers", "2", "--epochs", "60", "--mode", "async"]);
    assert_eq!(figures["mode"], "async");
    assert!(accuracy(&figures) >= 0.87, "{figures:?}");
}

#[mobula::test]
fn it_learns_over_channels() {
    for (mode, least) in [("sync", 0.89), ("async", 0.87)] {
        let figures = train(&["--workers", "2", "--epochs", "60", "--mode", mode, "--transport", "channels"]);
        assert_eq!((&*figures["mode"], &*figures["transport"]), (mode, "channels"));
        assert!(accuracy(&figures) >= least, "{figures:?}");
    }
}

#[mobula::test]
fn in_rounds_both_transports_give_the_same_result() {
    let args = ["--workers", "2", "--epochs", "3", "--seed", "7", "--transport"];
    let with = |transport| train(&[&args[..], &[transport]].concat());
    let (calls, channels) = (with("calls"), with("channels"));
    assert_eq!((&calls["accuracy"], &calls["rounds"]), (&channels["accuracy"], &channels["rounds"]));
}

#[mobula::test]
fn in_rounds_the_same_seed_gives_the_same_result() {
    let args = ["--workers", "2", "--epochs", "3", "--seed", "7"];
    let (first, second) = (train(&args), train(&args));
    assert_eq!((&first["accuracy"], &first["rounds"]), (&second["accuracy"], &second["rounds"]));
}

#[mobula::test]
fn a_hidden_layer_and_a_plot() {
    let plot = super::support::Scratch::new("loss.svg");
    let figures = train(&["--workers", "2", "--epochs", "10", "--hidden", "32", "--plot", &plot.text()]);
    assert!(accuracy(&figures) > 0.5, "{figures:?}");
    let svg = std::fs::read_to_string(plot.path()).unwrap();
    assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{}", &svg[..40]);
    assert!(svg.trim_end().ends_with("</svg>"));
}
