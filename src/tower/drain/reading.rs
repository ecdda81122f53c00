//! The state of a body that is being read.
//!
//! - Frames are dropped as they come. Nothing is collected.
//! - Every frame counts as at least one byte, so the byte limit ends every body. One frame without
//!   bytes is free behind the last byte: the trailers.
//! - No timer is set while each poll finds something to read, for at most [`FREE_TURNS`] polls.
//! - A poll reads at most [`FRAMES`] frames, and then lets other tasks run.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use pin_project_lite::pin_project;

use crate::maintenance::Alarm;
use crate::tower::body::{Discarded, RequestBody};

/// What happens to the connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Connection {
    /// It can carry another request: the body was read to its end, or need not be.
    Stays,
    /// The server closes it, as the body was not read to its end.
    Closes,
}

/// The frames that a poll reads at most.
const FRAMES: u32 = 64;
/// The polls that may ask for another one at once, before a timer is set.
const FREE_TURNS: u32 = 32;

/// The time at which the reading ends.
pub(in super::super) trait Deadline: Sized {
    fn after(delay: Duration, waker: &Waker) -> io::Result<Self>;
    fn is_due(&self) -> bool;
    fn set_waker(&self, waker: &Waker);
}

impl Deadline for Alarm {
    fn after(delay: Duration, waker: &Waker) -> io::Result<Alarm> {
        Alarm::after(delay, waker)
    }

    fn is_due(&self) -> bool {
        self.is_due()
    }

    fn set_waker(&self, waker: &Waker) {
        self.set_waker(waker);
    }
}

pin_project! {
    /// Reads a body until it ends or a limit is reached.
    pub(in super::super) struct Drain<I, D = Alarm> {
        #[pin]
        body: I,
        bytes_left: u64,
        // What happens to the connection if the body is not read to its end.
        if_unread: Connection,
        had_trailers: bool,
        time: Duration,
        free_turns: u32,
        deadline: Option<D>,
    }
}

impl<I: RequestBody, D: Deadline> Drain<I, D> {
    pub(in super::super) fn new(
        body: I,
        bytes: u64,
        time: Duration,
        if_unread: Connection,
    ) -> Drain<I, D> {
        Drain {
            body,
            bytes_left: bytes,
            if_unread,
            had_trailers: false,
            time,
            free_turns: FREE_TURNS,
            deadline: None,
        }
    }

    pub(in super::super) fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Connection> {
        let mut this = self.project();
        if this.deadline.as_ref().is_some_and(D::is_due) {
            return Poll::Ready(*this.if_unread);
        }
        let mut frames = 0;
        let is_waiting = loop {
            if frames == FRAMES {
                break false;
            }
            let Poll::Ready(frame) = this.body.as_mut().poll_discard(context) else {
                break true;
            };
            let bytes = match frame {
                Discarded::Bytes(bytes) => bytes,
                Discarded::End => return Poll::Ready(Connection::Stays),
                Discarded::Broken => return Poll::Ready(*this.if_unread),
            };
            if this.body.is_at_end() {
                return Poll::Ready(Connection::Stays);
            }
            match this.bytes_left.checked_sub(bytes.max(1)) {
                Some(left) => *this.bytes_left = left,
                None if bytes == 0 && !*this.had_trailers => *this.had_trailers = true,
                None => return Poll::Ready(*this.if_unread),
            }
            frames += 1;
        };
        if let Some(deadline) = this.deadline {
            deadline.set_waker(context.waker());
            // It may have passed before the waker was replaced.
            if deadline.is_due() {
                return Poll::Ready(*this.if_unread);
            }
        } else if frames > 0 && *this.free_turns > 0 {
            // More may have arrived already: the server fills its buffer between two polls.
            *this.free_turns -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        } else if this.time.is_zero() {
            return Poll::Ready(*this.if_unread);
        } else {
            match D::after(*this.time, context.waker()) {
                Ok(deadline) => *this.deadline = Some(deadline),
                // Without a thread no time limit holds, so only what was there has been read.
                Err(_) => return Poll::Ready(*this.if_unread),
            }
        }
        if !is_waiting {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::VecDeque,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    thread_local! {
        /// The delays of the timers of this test.
        static SET: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
        static IS_DUE: Cell<bool> = const { Cell::new(false) };
        static HAS_THREAD: Cell<bool> = const { Cell::new(true) };
        static LIVE: Cell<usize> = const { Cell::new(0) };
        static WAKER: RefCell<Option<Waker>> = const { RefCell::new(None) };
    }

    /// A timer that the test moves.
    struct Timer;

    impl Deadline for Timer {
        fn after(delay: Duration, waker: &Waker) -> io::Result<Timer> {
            if !HAS_THREAD.get() {
                return Err(io::Error::other("no thread"));
            }
            SET.with_borrow_mut(|set| set.push(delay));
            WAKER.set(Some(waker.clone()));
            LIVE.set(LIVE.get() + 1);
            Ok(Timer)
        }

        fn is_due(&self) -> bool {
            IS_DUE.get()
        }

        fn set_waker(&self, waker: &Waker) {
            WAKER.set(Some(waker.clone()));
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            LIVE.set(LIVE.get() - 1);
        }
    }

    /// What the next polls of a body return.
    #[derive(Default)]
    struct Script {
        polls: VecDeque<Poll<Option<u64>>>,
        then: Option<Poll<Option<u64>>>,
        count: usize,
    }

    impl RequestBody for Script {
        fn is_at_end(&self) -> bool {
            false
        }

        fn poll_discard(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Discarded> {
            self.count += 1;
            let then = self.then;
            let next = self.polls.pop_front().or(then);
            let next = next.expect("the body is polled no further");
            next.map(|part| match part {
                Some(BROKEN) => Discarded::Broken,
                Some(bytes) => Discarded::Bytes(bytes),
                None => Discarded::End,
            })
        }
    }

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A drain of a body that polls like `polls`, and then like `then`.
    struct Task {
        drain: Pin<Box<Drain<Script, Timer>>>,
        woken: Arc<Woken>,
    }

    const TIME: Duration = Duration::from_secs(3);

    impl Task {
        fn of<const N: usize>(
            polls: [Poll<Option<u64>>; N],
            then: Option<Poll<Option<u64>>>,
            bytes: u64,
            time: Duration,
        ) -> Task {
            let script = Script {
                polls: polls.into(),
                then,
                count: 0,
            };
            Task {
                drain: Box::pin(Drain::new(script, bytes, time, Connection::Closes)),
                woken: Arc::new(Woken(AtomicUsize::new(0))),
            }
        }

        fn poll(&mut self) -> Poll<Connection> {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.drain.as_mut().poll(&mut Context::from_waker(&waker))
        }

        fn wakes(&self) -> usize {
            self.woken.0.load(Ordering::SeqCst)
        }

        fn polls_of_body(&self) -> usize {
            self.drain.body.count
        }
    }

    /// The length of a part that stands for an error.
    const BROKEN: u64 = u64::MAX - 1;

    const END: Poll<Option<u64>> = Poll::Ready(None);
    const WAIT: Poll<Option<u64>> = Poll::Pending;

    fn part(bytes: u64) -> Poll<Option<u64>> {
        Poll::Ready(Some(bytes))
    }

    fn timers() -> Vec<Duration> {
        SET.with_borrow(Vec::clone)
    }

    #[test]
    fn a_body_that_has_arrived_is_read_in_one_poll_without_a_timer() {
        let mut task = Task::of([part(5), part(0), part(7), END], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Ready(Connection::Stays));
        assert!(timers().is_empty());
    }

    #[test]
    fn a_body_that_arrives_between_two_polls_needs_no_timer() {
        let mut task = Task::of([part(5), WAIT, part(5), WAIT, END], None, 100, TIME);
        for wakes in 1..=2 {
            assert_eq!(task.poll(), Poll::Pending);
            assert_eq!(task.wakes(), wakes);
        }
        assert_eq!(task.poll(), Poll::Ready(Connection::Stays));
        assert!(timers().is_empty());
    }

    #[test]
    fn a_body_that_does_not_come_sets_one_timer_and_stops_it_at_its_end() {
        let mut task = Task::of([WAIT, part(1), WAIT, WAIT, END], None, 100, TIME);
        for _ in 0..3 {
            assert_eq!(task.poll(), Poll::Pending);
            assert_eq!(timers(), [TIME]);
        }
        // The body and the timer wake the task, and it does not wake itself.
        assert_eq!(task.wakes(), 0);
        assert_eq!(task.poll(), Poll::Ready(Connection::Stays));
        drop(task);
        assert_eq!(LIVE.get(), 0);
    }

    #[test]
    fn a_body_that_trickles_at_the_pace_of_the_polls_gets_a_timer_too() {
        let mut task = Task::of([], Some(part(1)), 1 << 40, TIME);
        let turns = (0..1_000)
            .take_while(|_| task.poll().is_pending() && timers().is_empty())
            .count();
        assert_eq!(turns, 32);
        // It goes on then until the timer ends it.
        assert_eq!(task.poll(), Poll::Pending);
        IS_DUE.set(true);
        let polls = task.polls_of_body();
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
        assert_eq!(task.polls_of_body(), polls);
        assert_eq!(timers(), [TIME]);
    }

    #[test]
    fn a_poll_reads_64_frames_at_most_and_asks_for_another_poll() {
        let mut task = Task::of([], Some(part(1)), 1 << 40, TIME);
        for turn in 1..=100 {
            assert_eq!(task.poll(), Poll::Pending);
            assert_eq!((task.polls_of_body(), task.wakes()), (turn * 64, turn));
        }
    }

    #[test]
    fn a_body_of_as_many_bytes_as_the_limit_is_read_to_its_end() {
        let mut task = Task::of([part(60), part(40), END], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Ready(Connection::Stays));
    }

    #[test]
    fn trailers_behind_as_many_bytes_as_the_limit_are_read() {
        let mut task = Task::of([part(100), part(0), END], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Ready(Connection::Stays));
    }

    #[test]
    fn a_body_that_breaks_is_not_read_to_its_end() {
        let mut task = Task::of([part(5), part(BROKEN)], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
    }

    /// A stream of HTTP/2 ends alone.
    #[test]
    fn what_is_left_unread_closes_no_shared_connection() {
        for last in [part(BROKEN), part(101)] {
            let mut task = Task::of([last], None, 100, TIME);
            task.drain
                .as_mut()
                .project()
                .if_unread
                .clone_from(&Connection::Stays);
            assert_eq!(task.poll(), Poll::Ready(Connection::Stays));
        }
    }

    #[test]
    fn a_body_of_a_byte_more_than_the_limit_is_left() {
        let mut task = Task::of([part(60), part(41)], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
    }

    #[test]
    fn a_body_of_empty_frames_reaches_the_byte_limit() {
        let mut task = Task::of([], Some(part(0)), 1_000, TIME);
        let turns = (0..100).take_while(|_| task.poll().is_pending()).count();
        // 64 frames each.
        assert_eq!(turns, 15);
        assert_eq!(task.polls_of_body(), 1_002);
    }

    #[test]
    fn a_frame_of_any_length_overflows_nothing() {
        let mut task = Task::of([part(1), part(u64::MAX)], None, u64::MAX, TIME);
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
    }

    #[test]
    fn the_time_limit_ends_a_body_that_does_not_come() {
        let mut task = Task::of([WAIT], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Pending);
        IS_DUE.set(true);
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
    }

    #[test]
    fn the_timer_wakes_the_task_that_polled_last() {
        let mut task = Task::of([WAIT, WAIT], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Pending);
        task.woken = Arc::new(Woken(AtomicUsize::new(0)));
        assert_eq!(task.poll(), Poll::Pending);
        WAKER.take().unwrap().wake();
        assert_eq!(task.wakes(), 1);
    }

    #[test]
    fn without_a_thread_for_the_timer_what_has_arrived_is_read() {
        HAS_THREAD.set(false);
        let mut task = Task::of([part(5), WAIT, part(5), WAIT, WAIT], None, 100, TIME);
        assert_eq!(task.poll(), Poll::Pending);
        assert_eq!(task.poll(), Poll::Pending);
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
    }

    #[test]
    fn a_time_limit_of_zero_sets_no_timer() {
        let mut task = Task::of([part(5), WAIT, WAIT], None, 100, Duration::ZERO);
        assert_eq!(task.poll(), Poll::Pending);
        assert_eq!(task.poll(), Poll::Ready(Connection::Closes));
        assert!(timers().is_empty());
    }
}
