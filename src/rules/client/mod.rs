//! Clients that hold themselves back or fall behind.

pub mod client_throttled;
pub mod leader_election_lost;
pub mod retries_plateau;
pub mod scheduler_backlog;
pub mod workqueue_backlog;
