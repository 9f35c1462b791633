//! Figures of other systems, to stand beside ours: out of a file of lines of JSON, or from a peer of
//! `benches/compare`, run before the suites.
//!
//! ```text
//!   <environments>/NAME/bin/peer_NAME                                   a peer that is a program
//!   <environments>/NAME/bin/python benches/compare/peer_NAME.py         one that is a script
//! ```
//!
//! Rows with the same name and unit are compared, whatever suites they are of: medians of times, values of
//! everything else. A peer's row `NAME:WAY` is the same thing done in another way: it stands beside our row `NAME`
//! as the peer `PEER:WAY`.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

use crate::report::{Row, Unit};
use crate::session::Suite;

/// Where the peers' scripts are, from the root of the repository.
const SCRIPTS: &str = "benches/compare";
/// Where the sources of those are that are programs.
const PROGRAMS: &str = "benches/compare/native";
/// Where their environments are, unless `COMPARE_VENVS` says so.
const ENVIRONMENTS: &str = "target/compare";
/// How long a script may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// A peer's figure beside one of ours.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Against {
    /// The peer's name.
    pub peer: String,
    /// Its figure: nanoseconds of a single operation in rows of nanoseconds, otherwise in the row's unit.
    pub value: f64,
    /// How many times better Mobula is; below one the peer is.
    pub ratio: f64,
}

/// What is known of other systems.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    peers: Vec<Peer>,
}

#[derive(Debug, Clone)]
struct Peer {
    name: String,
    figures: Figures,
}

/// What a peer printed, and how it failed afterwards.
type Printed = (String, Option<String>);

/// By row and unit: each way of doing it, the first having no name, and its figure.
type Figures = HashMap<(String, String), Vec<(String, f64)>>;

impl Peers {
    /// Gathers figures; what cannot be had is named in the second list, with the reason.
    ///
    /// Each of `sources` is a file of lines as this program prints them with `--json`, its name up to the
    /// first dot being the peer's; or the name of a peer whose script is run for the suites.
    pub fn gather(sources: &[String], suites: &[Suite], quick: bool) -> (Peers, Vec<String>) {
        let environments = std::env::var_os("COMPARE_VENVS").map_or(PathBuf::from(ENVIRONMENTS), PathBuf::from);
        let (mut peers, mut complaints) = (Vec::new(), Vec::new());
        for source in sources {
            let file = Path::new(source);
            let (name, text) = match file.is_file() {
                true => (
                    stem(file),
                    std::fs::read_to_string(file).map(|text| (text, None)).map_err(|error| error.to_string()),
                ),
                false => (source.clone(), run(source, &environments, suites, quick)),
            };
            match text.map(|(text, failure)| (figures(&text), failure)) {
                Ok((figures, None)) if figures.is_empty() => {
                    complaints.push(format!("{source}: it has none for these suites"));
                }
                Ok((figures, failure)) => {
                    complaints.extend(failure.map(|why| format!("some rows of {source}: {why}")));
                    peers.push(Peer { name, figures });
                }
                Err(why) => complaints.push(format!("{source}: {why}")),
            }
        }
        (Peers { peers }, complaints)
    }

    /// Returns what the peers have to say about a row.
    pub(crate) fn about(&self, row: &Row) -> Vec<Against> {
        let ours = match row.unit {
            Unit::Nanoseconds => row.p50.unwrap_or(row.value),
            _ => row.value,
        };
        let key = (row.row.to_owned(), row.unit.symbol().to_owned());
        let ways = |peer: &'_ Peer| peer.figures.get(&key).cloned().unwrap_or_default();
        let found = self.peers.iter().flat_map(|peer| ways(peer).into_iter().map(move |figure| (&peer.name, figure)));
        let beside = found.map(|(peer, (way, theirs))| {
            let ratio = if row.unit.is_better_if_more() { ours / theirs } else { theirs / ours.max(1.0) };
            let peer = if way.is_empty() { peer.clone() } else { format!("{peer}:{way}") };
            Against { peer, value: theirs, ratio }
        });
        beside.filter(|against| against.ratio.is_finite()).collect()
    }
}

fn stem(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Returns what runs a peer, or why nothing does.
fn command(name: &str, environments: &Path) -> Result<Command, String> {
    let script = Path::new(SCRIPTS).join(format!("peer_{name}.py"));
    let installed = environments.join(name).join("bin");
    let (python, program) = (installed.join("python"), installed.join(format!("peer_{name}")));
    let absent =
        |path: &Path| format!("not installed: {} is not there ({SCRIPTS}/setup.sh installs it)", path.display());
    if program.is_file() {
        Ok(Command::new(program))
    } else if Path::new(PROGRAMS).join(name).is_dir() {
        Err(absent(&program))
    } else if !script.is_file() {
        Err(format!("no such file, and no peer's script {} from here", script.display()))
    } else if !python.is_file() {
        Err(absent(&python))
    } else {
        let mut command = Command::new(python);
        command.args(["-B", "-W", "ignore"]).arg(script);
        Ok(command)
    }
}

/// Runs a peer and returns what it prints, or why it cannot; how it failed if it was through with some rows only.
fn run(name: &str, environments: &Path, suites: &[Suite], quick: bool) -> Result<Printed, String> {
    let mut command = command(name, environments)?;
    command.args(suites.iter().map(|suite| suite.name())).args(quick.then_some("--quick"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let (sender, receiver) = channel();
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.map_or(Ok(0), |mut output| output.read_to_string(&mut text));
        // Nobody listens any more if it took too long.
        let _ = sender.send(read.map(|_| text).map_err(|error| error.to_string()));
    });
    let text = receiver.recv_timeout(PATIENCE);
    if text.is_err() {
        // It fails only if it has just ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let text = text.map_err(|_| format!("took more than {} s", PATIENCE.as_secs()))??;
    // Whoever it started may keep its output open, so the reader is only joined when it is through.
    drop(reader);
    match status.success() {
        true => Ok((text, None)),
        false if text.is_empty() => Err(format!("it ended with {status}")),
        false => Ok((text, Some(format!("it ended with {status}")))),
    }
}

/// Reads lines of JSON; other lines are none of ours.
fn figures(text: &str) -> Figures {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let figure = |line: Value| {
        let text = |key: &str| line.get(key)?.as_str().map(str::to_owned);
        let number = |key: &str| line.get(key)?.as_f64();
        let unit = text("unit")?;
        let value =
            if unit == Unit::Nanoseconds.symbol() { number("p50").or(number("value")) } else { number("value") };
        let row = text("row")?;
        let (row, way) = row.split_once(':').unwrap_or((&row, ""));
        Some(((row.to_owned(), unit), (way.to_owned(), value.filter(|value| *value > 0.0)?)))
    };
    let mut figures = Figures::new();
    for (row, way) in lines.filter_map(figure) {
        figures.entry(row).or_default().push(way);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        "warming up\n",
        r#"{"suite":"ray","row":"get","unit":"ns","p50":900.0,"p99":1000.0,"value":950.0,"limit":null,"limit_row":null}"#,
        "\n",
        r#"{"suite":"ray","row":"calls","unit":"1/s","p50":null,"p99":null,"value":5000.0,"limit":null,"limit_row":null}"#,
        "\n",
    );

    fn row(row: &'static str, unit: Unit, value: f64) -> Row {
        Row {
            suite: "calls",
            row,
            unit,
            p50: Some(value),
            p99: None,
            value,
            limit: None,
            limit_row: None,
            against: Vec::new(),
        }
    }

    #[test]
    fn ratios_say_how_much_better_ours_is() {
        let peers = Peers { peers: vec![Peer { name: "ray".to_owned(), figures: figures(LINES) }] };
        let ratio = |row: Row| peers.about(&row).first().map(|against| against.ratio);
        assert_eq!(ratio(row("get", Unit::Nanoseconds, 90.0)), Some(10.0));
        assert_eq!(ratio(row("calls", Unit::PerSecond, 1e6)), Some(200.0));
        assert_eq!(ratio(row("calls", Unit::Nanoseconds, 1.0)), None, "another unit");
        assert_eq!(ratio(row("put", Unit::Nanoseconds, 1.0)), None);
    }

    #[test]
    fn each_way_of_a_peer_stands_beside_our_row() {
        let lines = LINES.replace("\"get\"", "\"get:polling\"") + LINES;
        let peers = Peers { peers: vec![Peer { name: "ray".to_owned(), figures: figures(&lines) }] };
        let found = peers.about(&row("get", Unit::Nanoseconds, 90.0));
        let names: Vec<&str> = found.iter().map(|against| against.peer.as_str()).collect();
        assert_eq!(names, ["ray:polling", "ray"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (peers, complaints) = Peers::gather(&["nobody".to_owned()], &Suite::ALL, true);
        assert!(peers.peers.is_empty());
        assert!(complaints[0].starts_with("nobody: ") && complaints[0].contains("peer_nobody.py"), "{complaints:?}");
        assert_eq!(stem(Path::new("figures/ray.1.jsonl")), "ray");
    }
}
