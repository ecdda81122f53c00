//! Shared by the services: settings from environment variables, and a server that shuts down
//! gracefully. Nothing here is about rate limits.

mod acceptor;
pub mod console;
mod requests;
mod server;
pub mod settings;

use std::{error::Error, process::ExitCode};

pub use console::print;
pub use server::{Server, Timeouts};
pub use settings::{Environment, Setting, address, environment, port};

/// Converts the result of a service into an exit code. Prints an error by its `Display`.
pub fn exit_code(ended: Result<(), Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::report(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
