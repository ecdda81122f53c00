//! Whether texts have a form.

/// Whether `text` has the form of `pattern`, in which `0` stands for any digit, `A` for any letter,
/// `+` for either sign and `T` for what stands between a date and a time of day.
pub(crate) fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    text.len() == pattern.len()
        && text
            .iter()
            .zip(pattern)
            .all(|(found, expected)| match expected {
                b'0' => found.is_ascii_digit(),
                b'A' => found.is_ascii_alphabetic(),
                b'+' => matches!(found, b'+' | b'-'),
                b'T' => matches!(found, b'T' | b't' | b' '),
                exactly => found == exactly,
            })
}

/// Whether `text` is one digit or more.
pub(crate) fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
