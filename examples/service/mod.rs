//! What both services share: settings from the environment, and a server that ends when asked.
//! Nothing here is about limits.

mod acceptor;
mod console;
mod requests;
mod server;
mod settings;

use std::{error::Error, process::ExitCode};

pub use console::print;
pub use server::{Server, Timeouts};
pub use settings::{Environment, Refused, Setting, address, environment, port};

/// Turns the outcome of a service into what `main` returns. An error is printed in its own words.
pub fn exit_code(ended: Result<(), Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::report(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
