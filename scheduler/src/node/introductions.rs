//! Introductions: with frames on ipc-channel, the node tells each process where another one takes them.
//!
//! ```text
//!   A, B -- Listens(sender) -----> node                                              before their Ready
//!   A -- Introduce(B's client) --> node -- Introduced{A's client, sender, seat} --> B
//!                                       -- Introduced{B's client, sender, seat} --> A
//! ```
//!
//! B hears first, so that it can answer whatever A sends. Of a process's death both hear later than of the process.
//!
//! All who send to a process share one socket, whose buffer holds so much and no more. So the node counts those whom it
//! has introduced, and each *seat* says to its owner how much of that buffer it may fill.

use ipc_channel::ipc::IpcBytesSender;
use mobula_store::ClientKey;

use super::state::State;
use crate::ids::ProcessId;
use crate::protocol::ToProcess;

/// Where a process takes frames.
pub(super) struct Letterbox {
    sender: IpcBytesSender,
    /// How many processes have been told of it.
    seats: u32,
}

impl State {
    /// A process has said where it takes frames.
    pub(super) fn listens(&mut self, process: ProcessId, sender: IpcBytesSender) {
        if let Some(entry) = self.processes.get_mut(&process) {
            entry.letterbox = Some(Letterbox { sender, seats: 0 });
        }
    }

    /// A process wants to send to another one. Of one that is gone it hears otherwise.
    pub(super) fn introduce(&mut self, process: ProcessId, client: ClientKey) {
        let found = self.processes.iter().find(|(_, entry)| entry.client == Some(client));
        let Some(other) = found.map(|(&other, _)| other) else {
            return;
        };
        if other != process {
            self.tell_of(process, other);
        }
        self.tell_of(other, process);
    }

    /// Tells `reader` where `process` takes frames.
    fn tell_of(&mut self, process: ProcessId, reader: ProcessId) {
        let Some(entry) = self.processes.get_mut(&process) else {
            return;
        };
        let (Some(client), Some(letterbox)) = (entry.client, &mut entry.letterbox) else {
            return;
        };
        let seat = letterbox.seats;
        letterbox.seats = seat.saturating_add(1);
        let sender = letterbox.sender.clone();
        self.send(reader, ToProcess::Introduced { client, sender, seat });
    }
}
