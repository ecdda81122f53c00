//! The example server pauses after an error of `accept`, and reports each burst of errors once.

#[path = "../../examples/service/acceptor.rs"]
mod source;

use std::{cell::Cell, future::ready, io, task::Context, task::Poll, time::Duration};

use source::{Acceptor, BURST, PAUSE};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{advance, timeout};

const TICK: Duration = Duration::from_millis(1);

fn out_of_descriptors<T>() -> io::Result<T> {
    Err(io::Error::other("too many open files"))
}

/// Another arm of a `select!` is ready each time, so the future of `accept` is dropped.
#[tokio::test(start_paused = true)]
async fn a_pause_goes_on_where_another_event_wins() {
    let attempts = Cell::new(0);
    let fails = |_: &mut Context<'_>| {
        attempts.set(attempts.get() + 1);
        Poll::Ready(out_of_descriptors())
    };
    let mut acceptor = Acceptor::new(fails, |_| {});
    let mut interrupted = async || {
        tokio::select! {
            biased;
            _ = acceptor.accept() => unreachable!("it fails"),
            () = ready(()) => {}
        }
    };
    for _ in 0..50 {
        interrupted().await;
    }
    assert_eq!(attempts.get(), 1);
    advance(PAUSE - TICK).await;
    interrupted().await;
    assert_eq!(attempts.get(), 1);
    advance(2 * TICK).await;
    interrupted().await;
    assert_eq!(attempts.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_errors_is_reported_once_and_the_next_one_again() {
    let (attempts, is_failing, warnings) = (Cell::new(0), Cell::new(true), Cell::new(0));
    let accept = |_: &mut Context<'_>| {
        if is_failing.get() {
            attempts.set(attempts.get() + 1);
            return Poll::Ready(out_of_descriptors());
        }
        Poll::Pending
    };
    let mut acceptor = Acceptor::new(accept, |error: io::Error| {
        assert_eq!(error.to_string(), "too many open files");
        warnings.set(warnings.get() + 1);
    });
    // It fails for longer than `BURST`, and each pause between two errors is shorter.
    let failing = timeout(2 * BURST, acceptor.accept()).await;
    assert!(failing.is_err());
    assert!(attempts.get() >= 100, "{attempts:?}");
    assert_eq!(warnings.get(), 1);
    is_failing.set(false);
    assert!(timeout(BURST + PAUSE, acceptor.accept()).await.is_err());
    is_failing.set(true);
    assert!(timeout(PAUSE, acceptor.accept()).await.is_err());
    assert_eq!(warnings.get(), 2);
}

#[tokio::test]
async fn connections_are_accepted_after_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut has_failed = false;
    let accept = |context: &mut Context<'_>| {
        if !has_failed {
            has_failed = true;
            return Poll::Ready(out_of_descriptors());
        }
        listener.poll_accept(context)
    };
    let mut acceptor = Acceptor::new(accept, |_| {});
    let client = TcpStream::connect(address).await.unwrap();
    let accepted = acceptor.accept().await;
    assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
}
