//! Events in, one summary of a stream out: requests counted once, sampling undone, bounded
//! tables, episodes.
//!
//! Everything here is a [`Segment`](segment::Segment): closed aggregates plus open edges, with
//! one associative `absorb(later)`. Threads, rotated files and saved summaries all use it, so the
//! same lines give the same numbers however they were cut.

pub mod audit;
pub mod coverage;
mod delays;
pub mod episodes;
pub mod facts;
pub mod hash;
pub mod hot;
pub mod join;
pub mod kinds;
mod last_word;
mod level;
pub mod life;
pub mod load;
pub mod memory;
mod needs;
pub mod pace;
pub mod pages;
pub mod rejections;
pub mod row;
pub mod runs;
pub mod said;
pub mod sampling;
pub mod seconds;
pub mod segment;
pub mod spark;
pub mod table;
pub mod writers;
