//! Locks, atomics, threads and real time. Only this file names them, so that the model checker can
//! replace them (unit tests with `--cfg tollgate_loom`).

#[cfg(not(all(test, tollgate_loom)))]
mod imp {
    pub(crate) use std::sync::atomic::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use std::sync::{Arc, MutexGuard, OnceLock};
    pub(super) use std::sync::{Condvar, Mutex as Inner, PoisonError, TryLockError};
    pub(crate) use std::thread::yield_now;
    pub(crate) use std::thread_local;
    use std::{
        cell::RefCell,
        io,
        panic::{AssertUnwindSafe, catch_unwind},
        process::id,
        ptr, thread,
        time::{Duration, Instant},
    };

    use thread_local::ThreadLocal;

    /// Returns an error on a target without threads, where real time may be missing too.
    pub(crate) fn require_threads() -> io::Result<()> {
        if cfg!(all(target_family = "wasm", not(target_feature = "atomics"))) {
            let message = "this target has no threads";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// Starts a thread that is never joined.
    pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(())
    }

    /// Real time, and a place where one thread sleeps until a point in time.
    pub(crate) struct Sleeper {
        start: Instant,
        condvar: Condvar,
    }

    impl Sleeper {
        pub(crate) fn new() -> Sleeper {
            Sleeper {
                start: Instant::now(),
                condvar: Condvar::new(),
            }
        }

        /// Returns the monotonic time since the sleeper was made.
        pub(crate) fn now(&self) -> Duration {
            self.start.elapsed()
        }

        /// Releases `guard` and sleeps until `due` or until [`wake`](Sleeper::wake) is called.
        /// Locks again before it returns.
        pub(crate) fn sleep<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            due: Duration,
        ) -> MutexGuard<'a, T> {
            let timeout = due.saturating_sub(self.now());
            let woken = self.condvar.wait_timeout(guard, timeout);
            woken.unwrap_or_else(PoisonError::into_inner).0
        }

        pub(crate) fn wake(&self) {
            self.condvar.notify_one();
        }
    }

    /// Returns the id of this process, or 0 where processes cannot fork and may have no id.
    fn process_id() -> u32 {
        if cfg!(unix) { id() } else { 0 }
    }

    /// A value for each thread that makes one. All are dropped with the owner.
    ///
    /// A thread that starts may be given the value of one that has ended.
    pub(crate) struct PerThread<T: Send>(ThreadLocal<OwnLines<RefCell<T>>>);

    /// Is alone on its cache lines, which some processors fetch in pairs.
    #[repr(align(128))]
    struct OwnLines<T>(T);

    std::thread_local! {
        /// Tells that this thread runs its last destructors, once it is dropped itself.
        static ALIVE: Alive = const { Alive };
    }

    struct Alive;

    impl Drop for Alive {
        fn drop(&mut self) {}
    }

    impl<T: Send> PerThread<T> {
        pub(crate) fn new() -> PerThread<T> {
            PerThread(ThreadLocal::new())
        }

        /// Visits this thread's value. `None` if it has none, or is visiting it already.
        #[inline]
        pub(crate) fn visit<R>(&self, visit: impl FnOnce(&mut T) -> R) -> Option<R> {
            Some(visit(&mut *self.0.get()?.0.try_borrow_mut().ok()?))
        }

        /// Visits this thread's value, and makes one if there is none. A thread that ends makes none.
        pub(crate) fn visit_or_make(&self, make: fn() -> T, visit: impl FnOnce(&mut T)) {
            // While a thread ends, `get_or` panics once the thread's number was given back. `ALIVE` was
            // dropped by then, unless this is the thread's first call: then the panic is caught.
            if ALIVE.try_with(|_| ()).is_err() {
                return;
            }
            let make = || self.0.get_or(|| OwnLines(RefCell::new(make())));
            let Ok(value) = catch_unwind(AssertUnwindSafe(make)) else {
                return;
            };
            if let Ok(mut value) = value.0.try_borrow_mut() {
                visit(&mut value);
            }
        }
    }

    /// A handle to a value that [`per_process`] makes.
    pub(crate) type Shared<T> = &'static T;

    pub(crate) fn is_same<T>(one: &Shared<T>, other: &Shared<T>) -> bool {
        ptr::eq(*one, *other)
    }

    /// One value for each process, found by the id of the process. A forked child gets a new value.
    /// The inherited one may stay locked for ever, by a thread that exists only in the parent.
    pub(crate) struct PerProcess<T: 'static> {
        first: OnceLock<Incarnation<T>>,
    }

    struct Incarnation<T: 'static> {
        process: u32,
        value: T,
        child: OnceLock<&'static Incarnation<T>>,
    }

    impl<T> PerProcess<T> {
        pub(crate) const fn new() -> PerProcess<T> {
            PerProcess {
                first: OnceLock::new(),
            }
        }

        /// Returns the value of this process. `make` makes it if there is none yet.
        pub(crate) fn get(&'static self, make: fn() -> T) -> &'static T {
            let process = process_id();
            let new = || Incarnation {
                process,
                value: make(),
                child: OnceLock::new(),
            };
            let mut incarnation = self.first.get_or_init(new);
            while incarnation.process != process {
                // Never freed: one value for each fork between the first process and this one.
                incarnation = incarnation.child.get_or_init(|| Box::leak(Box::new(new())));
            }
            &incarnation.value
        }
    }

    /// Makes a function that returns the value of this process.
    macro_rules! per_process {
        (fn $name:ident() -> $type:ty { $make:expr }) => {
            fn $name() -> $crate::sync::Shared<$type> {
                static VALUE: $crate::sync::PerProcess<$type> = $crate::sync::PerProcess::new();
                VALUE.get(|| $make)
            }
        };
    }
    pub(crate) use per_process;
}

#[cfg(all(test, tollgate_loom))]
mod imp {
    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) use loom::sync::{Arc, MutexGuard};
    pub(super) use loom::sync::{Condvar, Mutex as Inner};
    pub(crate) use loom::thread_local;
    // It is set under a lock, so no model has to try orders of it.
    pub(crate) use std::sync::OnceLock;
    pub(super) use std::sync::{PoisonError, TryLockError};
    use std::{io, time::Duration};

    use loom::thread::ThreadId;

    /// How far time passes in a model.
    const END: Duration = Duration::from_secs(1);

    /// loom has no time. Here time passes only while the one thread sleeps. A sleep that is due
    /// within the first second ends at once. Any other sleep lasts until the thread is woken. So a
    /// model ends, and a lost wake is a deadlock, which loom reports.
    pub(crate) struct Sleeper {
        condvar: Condvar,
        now: std::sync::Mutex<Duration>,
    }

    impl Sleeper {
        pub(crate) fn new() -> Sleeper {
            Sleeper {
                condvar: Condvar::new(),
                now: std::sync::Mutex::new(Duration::ZERO),
            }
        }

        pub(crate) fn now(&self) -> Duration {
            *self.now.lock().unwrap()
        }

        pub(crate) fn sleep<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            due: Duration,
        ) -> MutexGuard<'a, T> {
            if due <= END {
                *self.now.lock().unwrap() = due;
                return guard;
            }
            self.condvar
                .wait(guard)
                .expect("a model that panicked has failed already")
        }

        pub(crate) fn wake(&self) {
            self.condvar.notify_one();
        }
    }

    pub(crate) fn require_threads() -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn spawn(_: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        loom::thread::spawn(run);
        Ok(())
    }

    /// A value for each thread. A thread takes its value out while it visits it.
    pub(crate) struct PerThread<T>(std::sync::Mutex<Vec<(ThreadId, T)>>);

    impl<T> PerThread<T> {
        pub(crate) fn new() -> PerThread<T> {
            PerThread(std::sync::Mutex::new(Vec::new()))
        }

        pub(crate) fn visit<R>(&self, visit: impl FnOnce(&mut T) -> R) -> Option<R> {
            let thread = loom::thread::current().id();
            let mut value = {
                let mut values = self.0.lock().unwrap();
                let nth = values.iter().position(|(of, _)| *of == thread)?;
                values.swap_remove(nth).1
            };
            let result = visit(&mut value);
            self.0.lock().unwrap().push((thread, value));
            Some(result)
        }

        pub(crate) fn visit_or_make(&self, make: fn() -> T, visit: impl FnOnce(&mut T)) {
            let thread = loom::thread::current().id();
            {
                let mut values = self.0.lock().unwrap();
                if values.iter().all(|(of, _)| *of != thread) {
                    values.push((thread, make()));
                }
            }
            self.visit(visit);
        }
    }

    /// A handle to a value that [`per_process`] makes. Not `&'static`: loom drops its statics when
    /// the main thread of a model ends. Not loom's `Arc`: nothing depends on when the value is
    /// dropped.
    pub(crate) type Shared<T> = std::sync::Arc<T>;

    pub(crate) fn is_same<T>(one: &Shared<T>, other: &Shared<T>) -> bool {
        Shared::ptr_eq(one, other)
    }

    /// Makes a function that returns the value of this execution of the model.
    macro_rules! per_process {
        (fn $name:ident() -> $type:ty { $make:expr }) => {
            fn $name() -> $crate::sync::Shared<$type> {
                loom::lazy_static! {
                    static ref VALUE: $crate::sync::Shared<$type> =
                        $crate::sync::Shared::new($make);
                }
                $crate::sync::Shared::clone(&VALUE)
            }
        };
    }
    pub(crate) use per_process;
}

/// A mutex without poison: its value is never half written when user code runs.
///
/// It is the standard library's and not parking_lot's because of forked children. In a child the
/// parent's threads are gone. parking_lot would still have them in its table of parked threads, on
/// stacks that the child reuses.
pub(crate) struct Mutex<T>(imp::Inner<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(imp::Inner::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(imp::PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(imp::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(imp::TryLockError::WouldBlock) => None,
        }
    }
}

pub(crate) use imp::*;
