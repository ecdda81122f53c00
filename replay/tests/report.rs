//! The text of the report, whole.

use std::process::Command;

/// A key of a log may hold what steers a terminal.
#[test]
fn a_key_is_harmless_to_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let log = folder.path().join("a.json");
    let line = "{\"t\":1773309600,\"k\":\"\\u001b[2J\"}\n";
    std::fs::write(&log, line.repeat(2)).expect("a file in a new folder");
    let arguments = [
        "--format", "json", "--time", "t", "--key", "k", "--policy", "1/hour",
    ];
    let log = log.to_str().expect("a path in UTF-8");
    let text = report(&[&arguments[..], &[log]].concat());
    assert!(
        text.contains("1 denied        1 admitted  \\u{1b}[2J"),
        "{text}"
    );
}

/// Returns what the program prints on standard output.
fn report(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate-replay"))
        .args(arguments)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_sample_is_replayed_under_the_default_policy() {
    assert_eq!(report(&[]), include_str!("report/default.txt"));
}

#[test]
fn policies_are_side_by_side_and_a_suggestion_follows() {
    let arguments = [
        "--policy",
        "100/minute burst 10",
        "--policy",
        "10/minute; 60/hour",
        "--suggest",
        "80",
    ];
    assert_eq!(report(&arguments), include_str!("report/several.txt"));
}
