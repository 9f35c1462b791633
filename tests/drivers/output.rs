//! What workers print goes to the stderr of the driver that they work for.

use super::counter::Counter;
use super::support::{eventually, get};
use super::{Program, address, node};

#[mobula::test]
fn goes_to_its_own_driver() {
    let runtime = node(2.0);
    let mut second = Program::start(&address(&runtime), "second");
    let pid = second.say("create a");
    second.say("print a hello-from-a");
    let text = second.end();
    let expected = format!("(Counter pid={pid}) hello-from-a\n");
    assert_eq!(text.matches(&expected).count(), 2, "stdout and stderr: {text}");
    let ours = Counter::remote(0).unwrap();
    get(&ours.print("hello-from-ours").remote()).unwrap();
    let logs = runtime.info().session_dir.join("logs");
    eventually("its file has it, too", || {
        std::fs::read_to_string(logs.join(format!("worker-{pid}.out"))).is_ok_and(|text| text == "hello-from-a\n")
    });
}

#[mobula::test]
fn is_left_out_where_the_driver_does_not_want_it() {
    let runtime = node(2.0);
    let mut command = Program::command(&address(&runtime), "second");
    let mut second = Program::run(command.env("MOBULA_LOG_TO_DRIVER", "0"));
    second.say("create a");
    second.say("print a hello");
    assert_eq!(second.end(), "");
}

/// Its stderr is a pipe that nobody reads.
#[mobula::test]
fn holds_nobody_up_where_the_driver_does_not_read() {
    let runtime = node(2.0);
    let mut second = Program::start(&address(&runtime), "second");
    let mut third = Program::start(&address(&runtime), "third");
    second.say("create a");
    third.say("create b");
    assert_eq!(second.say("print-much a 100000"), "printed");
    assert_eq!(third.say("print b hello"), "printed");
    let ours = Counter::remote(0).unwrap();
    get(&ours.print("ours").remote()).unwrap();
    assert!(third.end().contains("hello"));
    // It leaves all the same, without having shown everything.
    let text = second.end();
    assert!(text.contains("line 0 ") && !text.contains("line 99999 "), "{}", text.len());
}
