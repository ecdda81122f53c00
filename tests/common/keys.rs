//! A key that counts the calls that a limiter makes on it, and can run a hook inside of one.

use std::{
    borrow::Borrow,
    cell::{Cell, RefCell},
    hash::{Hash, Hasher},
    panic::resume_unwind,
};

/// The payload of the panic that [`panic_at_next`] prepares.
pub const PANIC: &str = "the hook panics";

/// A method that a limiter calls on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Hash,
    Eq,
    ToOwned,
    /// Of a stored key.
    Drop,
}

thread_local! {
    static CALLS: Cell<[u64; 4]> = const { Cell::new([0; 4]) };
    #[expect(clippy::type_complexity, reason = "it is used once")]
    static HOOK: RefCell<Option<(Call, Box<dyn FnOnce()>)>> = const { RefCell::new(None) };
}

/// The borrowed form of [`Stored`]. Both count the calls of this thread, and can run a hook.
#[derive(Debug)]
pub struct Asked(pub u64);

/// The owned form of [`Asked`]: the key that a table stores.
#[derive(Debug)]
pub struct Stored(Asked);

/// Returns how often this thread has made `call` on an [`Asked`] or [`Stored`].
pub fn calls(call: Call) -> u64 {
    CALLS.get()[call as usize]
}

/// Lets this thread's next `call` on an [`Asked`] or [`Stored`] run `hook` first, once.
pub fn at_next(call: Call, hook: impl FnOnce() + 'static) {
    let before = HOOK.replace(Some((call, Box::new(hook))));
    assert!(before.is_none(), "a hook that never ran");
}

/// Returns whether the hook has run.
pub fn has_run() -> bool {
    HOOK.with_borrow(Option::is_none)
}

/// Lets this thread's next `call` panic with [`PANIC`], and nothing is printed.
pub fn panic_at_next(call: Call) {
    at_next(call, || resume_unwind(Box::new(PANIC)));
}

fn note(call: Call) {
    let mut counts = CALLS.get();
    counts[call as usize] += 1;
    CALLS.set(counts);
    // When this thread ends, its cache may drop a copy after the hook is gone.
    let hook = HOOK.try_with(|hook| hook.borrow_mut().take_if(|(at, _)| *at == call));
    if let Ok(Some((_, hook))) = hook {
        hook();
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        note(Call::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Asked) -> bool {
        note(Call::Eq);
        self.0 == other.0
    }
}

impl Eq for Asked {}

impl ToOwned for Asked {
    type Owned = Stored;

    fn to_owned(&self) -> Stored {
        note(Call::ToOwned);
        Stored(Asked(self.0))
    }
}

impl Borrow<Asked> for Stored {
    fn borrow(&self) -> &Asked {
        &self.0
    }
}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Stored) -> bool {
        self.0 == other.0
    }
}

impl Eq for Stored {}

impl Drop for Stored {
    fn drop(&mut self) {
        note(Call::Drop);
    }
}
