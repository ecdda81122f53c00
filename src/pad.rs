//! Applies width, alignment, fill and precision to a `Display` that writes several pieces.

use std::fmt::{self, Formatter, Write};

/// Writes like [`Formatter::pad`]. Allocates only if the format has a width or a precision.
pub(crate) fn pad(
    f: &mut Formatter<'_>,
    write: impl Fn(&mut dyn Write) -> fmt::Result,
) -> fmt::Result {
    if f.width().is_none() && f.precision().is_none() {
        return write(f);
    }
    let mut text = String::new();
    write(&mut text)?;
    f.pad(&text)
}
