//! A test that runs again in a process of its own.

use std::{
    env,
    process::{Command, Output},
};

/// Runs the test of this path in a process of its own, with the variable set. A path is that of
/// `module_path!`, with the name of the test.
pub fn rerun(module: &str, test: &str, variable: &str) -> Output {
    // Without the name of the binary.
    let (_, module) = module.split_once("::").unwrap();
    Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(variable, "1")
        .output()
        .unwrap()
}
