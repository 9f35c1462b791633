//! Messages: many senders, one actor that collects, a driver that empties it now and then.

use mobula::prelude::*;

use super::time;

pub struct MessageActor {
    messages: Vec<String>,
}

#[mobula::actor]
impl MessageActor {
    pub fn new() -> Self {
        MessageActor { messages: Vec::new() }
    }

    pub fn add_message(&mut self, message: String) {
        self.messages.push(message);
    }

    // One call: nobody can add a message between the reading and the clearing.
    pub fn get_and_clear_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.messages)
    }
}

#[mobula::task]
fn worker(message_actor: ActorHandle<MessageActor>, j: usize) {
    for i in 0..10 {
        time::sleep(1.0);
        message_actor.add_message(format!("Message {i} from worker {j}.")).remote();
    }
}

/// Returns the messages of each poll.
pub(crate) fn run() -> mobula::Result<Vec<Vec<String>>> {
    let _runtime = mobula::init(time::scaled(Config::new().num_cpus(4.0)))?;

    let message_actor = MessageActor::remote()?;
    for j in 0..3 {
        worker::remote(&message_actor, j);
    }

    // Ten polls; then until the last messages are there, which are sent after ten seconds.
    let mut polls: Vec<Vec<String>> = Vec::new();
    while polls.len() < 10 || polls.iter().flatten().count() < 30 {
        let new_messages = mobula::get(&message_actor.get_and_clear_messages().remote())?;
        println!("New messages\n: {new_messages:?}");
        polls.push(new_messages);
        time::sleep(1.0);
    }
    Ok(polls)
}
