//! Keeps each thread to one core. Two threads that the system puts on one core do not run at once.

pub use self::imp::{keep_to, keep_to_any};

#[cfg(target_os = "linux")]
mod imp {
    use std::sync::OnceLock;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// Keeps this thread to the `nth` of the cores that the program may use, counted round.
    pub fn keep_to(nth: usize) {
        let all = cores();
        let may_use = |&core: &usize| all.is_set(core).expect("it is below the count");
        let cores: Vec<usize> = (0..CpuSet::count()).filter(may_use).collect();
        let mut one = CpuSet::new();
        one.set(cores[nth % cores.len()])
            .expect("a core of the set");
        sched_setaffinity(this(), &one).expect("a core that it may use");
    }

    /// Lets this thread run on any of these cores again.
    pub fn keep_to_any() {
        sched_setaffinity(this(), cores()).expect("the cores that it began with");
    }

    fn cores() -> &'static CpuSet {
        static CORES: OnceLock<CpuSet> = OnceLock::new();
        // Read before the first thread is kept to one core.
        CORES.get_or_init(|| sched_getaffinity(this()).expect("a thread has its cores"))
    }

    fn this() -> Pid {
        Pid::from_raw(0)
    }
}

/// Elsewhere the system chooses the cores.
#[cfg(not(target_os = "linux"))]
mod imp {
    pub fn keep_to(_: usize) {}

    pub fn keep_to_any() {}
}
