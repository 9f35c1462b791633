//! Cancelling what the node has: tasks with processes of their own. All others it passes on.
//!
//! - SC-51: a task that is cancelled before it has a process is lost at once and never runs; what it was granted goes
//!   back once (SC-15).

use mobula_store::ObjectId;

use super::state::State;
use super::tasks::TaskState;
use crate::death::{DeathCause, LostTask};
use crate::ids::{ProcessId, TaskId};
use crate::protocol::ToProcess;

impl State {
    /// The submitter of a task wants it no more.
    pub(super) fn cancel_task(&mut self, process: ProcessId, id: TaskId, force: bool, recursive: bool) {
        let Some(task) = self.tasks.get(&id).filter(|task| task.submitter == process && !task.is_lease()) else {
            // It has ended, and the answer is on its way.
            return;
        };
        match task.state {
            TaskState::Queued { .. } | TaskState::Granted { worker: None, .. } => {
                self.lose_task(id, LostTask::Cancelled);
            }
            TaskState::Granted { worker: Some(worker), .. } => {
                // What it holds goes back with the process that was started for it.
                self.tell_lost(id, LostTask::Cancelled);
                self.end_worker(worker, DeathCause::OwnerDied);
            }
            TaskState::Running { worker, .. } if force => {
                if let Some(worker) = self.workers.get_mut(&worker) {
                    worker.ends_by_force = true;
                }
                self.kill_worker(worker);
            }
            TaskState::Running { worker, .. } => {
                if let Some(process) = self.workers.get(&worker).map(|worker| worker.process) {
                    self.send(process, ToProcess::CancelTask { task: id, recursive });
                }
            }
        }
    }

    /// Has the process that made a call cancel it; one that is gone has taken its calls with it.
    pub(super) fn cancel_elsewhere(&mut self, object: ObjectId, force: bool, recursive: bool) {
        let maker = ProcessId::tag_of(object);
        let maker = self.processes.keys().copied().find(|process| process.tag() == maker);
        if let Some(process) = maker {
            self.send(process, ToProcess::Cancel { object, force, recursive });
        }
    }

    /// A worker kills itself, for a task that is cancelled by force.
    pub(super) fn ends_by_force(&mut self, process: ProcessId) {
        let number = self.processes.get(&process).and_then(|entry| entry.worker);
        if let Some(worker) = number.and_then(|number| self.workers.get_mut(&number)) {
            worker.ends_by_force = true;
        }
    }
}
