//! The node of Mobula: resources, placement, worker pool, actor directory and control protocol.
//!
//! ```text
//!   driver process                                    worker processes
//!   +-----------------------------------------+
//!   | user code        mobula-node (the loop) |  spawn   +-----------------+
//!   |    |               ^      |             | -------> | bootstrap::Mark |
//!   |    | ToNode        |      | ToProcess   |          |   join()        |
//!   |    v               |      v             | <------> | ToNode/ToProcess|
//!   |  mobula-control ---+   mobula-watch     |  pidfd,  +-----------------+
//!   |                        mobula-life      |  pipes
//!   +-----------------------------------------+
//! ```
//!
//! [`node::Node`] starts in the driver's process and serves it and its workers. It introduces
//! processes to each other and is on the path of no actor call. [`config::Config`] is what users set,
//! [`bootstrap`] is how a process finds out that it is a worker and joins, [`protocol`] is what is
//! said afterwards, [`resources`] is the arithmetic of placement.

#![deny(unsafe_code)]
#[cfg(not(target_os = "linux"))]
compile_error!("mobula-scheduler needs Linux: pidfd, epoll and parent-death signals have no equal elsewhere");

pub mod attach;
pub mod bootstrap;
pub mod config;
pub mod death;
pub mod ids;
pub mod node;
pub mod protocol;
pub mod resources;
pub mod trace;

mod logs;
mod machine;
mod memory;
mod screen;
mod session;
pub mod stacks;
#[allow(unsafe_code, reason = "the only room for system calls without a safe wrapper")]
mod sys;
mod template;
mod watch;
