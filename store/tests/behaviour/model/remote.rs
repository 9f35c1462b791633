//! A client that can be killed.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use mobula_store::{ClientKey, Store};

use super::{kind, options};
use crate::id;

const ADDRESS: &str = "MOBULA_MODEL_ADDRESS";

/// A client in a process of its own, which does what it reads.
pub(super) struct Remote {
    pub(super) child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(super) key: ClientKey,
}

impl Remote {
    pub(super) fn start(address: &str) -> Remote {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "model::remote::play", "--nocapture", "--test-threads=1"])
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let key = ClientKey { index: 0, generation: 0 };
        let mut remote = Remote { child, input, output: BufReader::new(output).lines(), key };
        let words: Vec<u32> = remote.hear().split(' ').map(|word| word.parse().unwrap()).collect();
        remote.key = ClientKey { index: words[0] as u16, generation: words[1] };
        remote
    }

    fn hear(&mut self) -> String {
        let lines = self.output.by_ref().map(Result::unwrap);
        lines.into_iter().find_map(|line| line.split_once("> ").map(|(_, said)| said.to_owned())).expect("an answer")
    }

    pub(super) fn ask(&mut self, what: &str) -> String {
        writeln!(self.input, "{what}").unwrap();
        self.hear()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing in a test run; in a child it does what its stdin says.
#[test]
#[allow(clippy::print_stdout, reason = "a child talks to its parent")]
fn play() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let store = Store::attach(address).unwrap();
    println!("\n> {} {}", store.client().index, store.client().generation);
    let (mut buffers, mut views, mut holds) = (Vec::new(), Vec::new(), Vec::new());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<usize>().unwrap();
        let id = id(number(1) as u8);
        let said = match words[0] {
            "put" => {
                let bytes = vec![number(3) as u8; number(2)];
                store.put_with(id, &bytes, &options(number(3) as u8, number(4) == 1)).map(|view| views.push(view))
            }
            "create" => {
                let made = store.create_object_with(id, number(2), &options(number(3) as u8, number(4) == 1));
                made.map(|mut buffer| {
                    buffer.fill(number(3) as u8);
                    buffers.push(buffer);
                })
            }
            "get" => store.get(id, Some(Duration::ZERO)).map(|view| {
                assert!(view.iter().all(|&b| usize::from(b) == number(2)));
                views.push(view);
            }),
            _ => store.hold(id).map(|hold| holds.push(hold)),
        };
        println!("\n> {}", said.map_or_else(|e| kind(&e).to_owned(), |()| "ok".to_owned()));
    }
}
