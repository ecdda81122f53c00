//! Reads log files as one log, in order of time.

mod decode;
mod lines;
mod log;
mod merge;
mod source;

pub(crate) use merge::Merge;
pub(crate) use source::{Source, stdin_is_given};
