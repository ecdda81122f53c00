//! Lines on standard output and standard error. A closed stream does not stop the service, as it
//! would with `println!` and `eprintln!`, which panic.

use std::{
    fmt::Display,
    io::{self, Write},
};

pub fn print(line: impl Display) {
    // There is nowhere left to report an error.
    _ = writeln!(io::stdout(), "{line}");
}

pub fn report(line: impl Display) {
    _ = writeln!(io::stderr(), "{line}");
}
