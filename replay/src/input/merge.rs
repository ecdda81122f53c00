//! Merges log files into one log, in order of time.
//!
//! The next line comes from the file whose next request is the earliest (of equals, the first in the order of
//! the arguments). So rotated files are read from
//! the oldest on, whatever the order of the arguments, and the logs of several servers are merged. A
//! regular file is looked into at the start, for the time of its first request, and opened again when
//! this request is due: few files are open at a time.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::io;

use super::log::Log;
use super::source::Source;
use crate::format::{Parser, Request};
use crate::progress::Progress;
use crate::report::File;
use crate::time::Time;

/// Into how many lines of a file is looked for its first request. A file whose first request is
/// behind them is opened at the start.
const LOOKED_INTO: u64 = 10_000;

/// How many pairs of logs are warned of that begin alike.
const TWINS: usize = 5;

/// All files, merged.
pub(crate) struct Merge<'a> {
    parser: &'a mut Parser,
    progress: &'a Progress,
    sources: &'a [Source],
    /// The log whose next request is the earliest.
    current: Option<(usize, Box<Log>, Request)>,
    /// All others that have not ended.
    waiting: BinaryHeap<Waiting>,
    /// What was found, in the order of the arguments, with the index of each.
    ended: Vec<(usize, File)>,
    warnings: Vec<String>,
}

/// A log that is not the current one. The greatest is the one that is due first.
struct Waiting {
    index: usize,
    state: State,
}

enum State {
    /// A regular file that was looked into. Its first request is known if it is near the start.
    Unopened(Option<Request>),
    /// With the next request.
    Open(Box<Log>, Request),
}

impl<'a> Merge<'a> {
    /// Looks into all files. One that cannot be read is an error in its own [`File`].
    pub(crate) fn new(
        sources: &'a [Source],
        parser: &'a mut Parser,
        progress: &'a Progress,
    ) -> Merge<'a> {
        let mut merge = Merge {
            parser,
            progress,
            sources,
            current: None,
            waiting: BinaryHeap::new(),
            ended: Vec::new(),
            warnings: Vec::new(),
        };
        let mut firsts = HashMap::new();
        for index in 0..sources.len() {
            match merge.look_into(index) {
                Ok(Some(state)) => {
                    merge.warn_of_twin(&mut firsts, index, state.next());
                    merge.waiting.push(Waiting { index, state });
                }
                Ok(None) => {}
                Err(error) => merge.fail(index, &error),
            }
        }
        merge
    }

    /// Returns the next request, and `None` at the end of all files.
    pub(crate) fn next(&mut self) -> Option<Request> {
        while self.current.is_none() {
            let waiting = self.waiting.pop()?;
            self.resume(waiting);
        }
        let (index, mut log, request) = self.current.take()?;
        self.progress.count_request();
        let next = log.next(self.parser);
        self.go_on(index, log, next);
        Some(request)
    }

    /// Returns the files and the warnings, at the end.
    pub(crate) fn finish(mut self) -> (Vec<File>, Vec<String>) {
        self.ended.sort_by_key(|(index, _)| *index);
        let files = self.ended.into_iter().map(|(_, file)| file);
        (files.collect(), self.warnings)
    }

    /// Returns a log that is not read on yet, or `None` if it has ended.
    fn look_into(&mut self, index: usize) -> io::Result<Option<State>> {
        let source = &self.sources[index];
        // A pipe cannot be opened again.
        let is_pipe = source.length()?.is_none();
        let mut log = Box::new(Log::open(source, is_pipe.then_some(self.progress))?);
        if !is_pipe {
            let first = log.next_within(LOOKED_INTO, self.parser);
            return Ok(Some(State::Unopened(first)));
        }
        match log.next(self.parser) {
            Some(first) => Ok(Some(State::Open(log, first))),
            None => {
                self.end(index, *log);
                Ok(None)
            }
        }
    }

    fn resume(&mut self, Waiting { index, state }: Waiting) {
        let expected = match state {
            State::Open(log, next) => return self.go_on(index, log, Some(next)),
            State::Unopened(expected) => expected,
        };
        match Log::open(&self.sources[index], Some(self.progress)) {
            Ok(mut log) => {
                let next = log.next(self.parser);
                if expected.is_some() && next != expected {
                    let error = io::Error::other("it was replaced during the replay, and not read");
                    return self.fail(index, &error);
                }
                self.go_on(index, Box::new(log), next);
            }
            Err(error) => self.fail(index, &error),
        }
    }

    /// Makes a log the current one if its next request is the earliest.
    fn go_on(&mut self, index: usize, log: Box<Log>, next: Option<Request>) {
        let Some(request) = next else {
            return self.end(index, *log);
        };
        let time = request.time;
        let is_first = |other: &Waiting| (time, index) < other.rank();
        if self.waiting.peek().is_none_or(is_first) {
            self.current = Some((index, log, request));
        } else {
            let state = State::Open(log, request);
            self.waiting.push(Waiting { index, state });
        }
    }

    fn end(&mut self, index: usize, log: Log) {
        let (file, warning) = log.finish(self.parser);
        if let Some(error) = &file.error {
            self.progress
                .print(&format!("error: {}: {error}", file.name));
        }
        self.ended.push((index, file));
        if let Some(warning) = warning {
            self.warn(warning);
        }
    }

    fn fail(&mut self, index: usize, error: &io::Error) {
        let name = self.sources[index].to_string();
        self.progress.print(&format!("error: {name}: {error}"));
        self.ended.push((index, File::unread(name, error)));
    }

    /// A log that was copied, or compressed and not yet deleted, would count twice.
    fn warn_of_twin(
        &mut self,
        firsts: &mut HashMap<Request, usize>,
        index: usize,
        first: Option<&Request>,
    ) {
        let Some(first) = first else { return };
        let twin = *firsts.entry(first.clone()).or_insert(index);
        if twin != index && self.warnings.len() < TWINS {
            let (one, other) = (&self.sources[twin], &self.sources[index]);
            self.warn(format!(
                "{one} and {other} begin with the same request: are they the same log?"
            ));
        }
    }

    fn warn(&mut self, warning: String) {
        self.progress.print(&format!("warning: {warning}"));
        self.warnings.push(warning);
    }
}

impl State {
    /// Returns the next request, as far as it is known.
    fn next(&self) -> Option<&Request> {
        match self {
            State::Unopened(first) => first.as_ref(),
            State::Open(_, next) => Some(next),
        }
    }
}

impl Waiting {
    /// Returns the time of the next request, or 1970 if it is not known, and the index.
    fn rank(&self) -> (Time, usize) {
        let next = self.state.next();
        (next.map_or(Time::default(), |next| next.time), self.index)
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        other.rank().cmp(&self.rank())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}
