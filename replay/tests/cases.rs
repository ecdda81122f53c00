//! Ways in which replays of logs go wrong silently, through the program itself. Each is a case of the
//! design (79 to 83), a finding of a review, or an example of an issue.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tempfile::TempDir;

const STAMP: &str = "[12/Mar/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1";

/// What the program said.
struct Said {
    status: i32,
    stderr: String,
    report: Value,
}

impl Said {
    fn number(&self, path: &str) -> u64 {
        self.report
            .pointer(path)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no number {path} in {}", self.report))
    }

    /// Returns how many requests there were, and how many the first policy denied.
    fn outcome(&self) -> (u64, u64) {
        (self.number("/requests"), self.number("/policies/0/denied"))
    }
}

/// A folder of logs.
struct Logs(TempDir);

impl Logs {
    fn new() -> Logs {
        Logs(tempfile::tempdir().expect("a folder for temporary files"))
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file in a new folder");
        path
    }
}

/// Runs the program on the bytes of standard input.
fn replay_stdin(arguments: &[&str], input: &[u8]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate-replay"))
        .args(["--json", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that ends early does not read it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    Said {
        status: output.status.code().expect("no signal ends it"),
        stderr: String::from_utf8(output.stderr).expect("text"),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
    }
}

fn replay(arguments: &[&str], files: &[PathBuf]) -> Said {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.to_str().expect("a path in UTF-8"))
        .collect();
    replay_stdin(&[arguments, &files].concat(), b"")
}

/// Returns one line for each second of 10:00:00 on, from one client.
fn seconds(seconds: impl IntoIterator<Item = u64>) -> String {
    let line = |second: u64| {
        let (hour, minute, second) = (10 + second / 3_600, second / 60 % 60, second % 60);
        let time = format!("12/Mar/2026:{hour}:{minute:02}:{second:02} +0000");
        format!("192.0.2.1 - - [{time}] \"GET / HTTP/1.1\" 200 1\n")
    };
    seconds.into_iter().map(line).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector");
    encoder.finish().expect("a vector")
}

/// Case 79: a first field that is not one address.
#[test]
fn what_stands_where_the_address_should_be_is_understood_or_counted_as_malformed() {
    for (one, other, requests, denied) in [
        // Two clients.
        ("v.example:80 192.0.2.1", "v.example:80 192.0.2.2", 2, 0),
        ("v.example 192.0.2.1", "v.example 192.0.2.2", 2, 0),
        (
            "<190>Mar 12 10:00:00 w nginx: 192.0.2.1",
            "<190>Mar 12 10:00:00 w nginx: 192.0.2.2",
            2,
            0,
        ),
        // One client.
        ("192.0.2.1:4711", "192.0.2.1:4712", 2, 1),
        ("[2001:db8::1]:4711", "2001:db8::2", 2, 1),
        ("v.example:80 192.0.2.1", "w.example:80 192.0.2.1", 2, 1),
        (
            "Mar 12 10:00:00 w nginx[1]: 192.0.2.1",
            "Mar 12 10:00:01 w nginx[1]: 192.0.2.1",
            2,
            1,
        ),
        // No client that can be known.
        ("v.example:80", "v.example:80", 0, 0),
        ("client.example", "client.example", 0, 0),
        ("192.0.2.80:80 192.0.2.1", "192.0.2.80:80 192.0.2.2", 0, 0),
        ("198.51.100.1, 10.0.0.1", "198.51.100.2, 10.0.0.1", 0, 0),
        (
            "Mar 12 10:00:00 web1 nginx 192.0.2.1",
            "Mar 12 10:00:00 web1 nginx 192.0.2.2",
            0,
            0,
        ),
        ("unix:", "unix:", 0, 0),
    ] {
        let log = format!("{one} - - {STAMP}\n{other} - - {STAMP}\n");
        let said = replay_stdin(&["--policy", "1/minute", "-"], log.as_bytes());
        assert_eq!(said.outcome(), (requests, denied), "{log}{}", said.stderr);
        assert_eq!(said.number("/malformed"), 2 - requests, "{log}");
        assert_eq!(said.status, i32::from(requests == 0), "{log}");
    }
}

/// Case 80: addresses are keyed as the layer keys them.
#[test]
fn addresses_are_keyed_as_the_layer_keys_them() {
    let outcome = |arguments: &[&str], one: &str, other: &str| {
        let log = format!("{one} - - {STAMP}\n{other} - - {STAMP}\n");
        let arguments = [&["--policy", "1/minute"], arguments, &["-"]].concat();
        replay_stdin(&arguments, log.as_bytes()).outcome()
    };
    assert_eq!(outcome(&[], "2001:db8::1", "2001:db8::2"), (2, 1));
    assert_eq!(outcome(&[], "2001:db8::1", "2001:db8:0:1::1"), (2, 0));
    assert_eq!(
        outcome(&["--ipv6-prefix", "48"], "2001:db8::1", "2001:db8:0:1::1"),
        (2, 1)
    );
    assert_eq!(
        outcome(&["--ipv6-prefix", "128"], "2001:db8::1", "2001:db8::2"),
        (2, 0)
    );
    assert_eq!(
        outcome(&["--ipv4-prefix", "24"], "192.0.2.1", "192.0.2.2"),
        (2, 1)
    );
    assert_eq!(outcome(&[], "::ffff:192.0.2.1", "192.0.2.1"), (2, 1));
    let trust = ["--trust", "10.0.0.0/8"];
    assert_eq!(
        outcome(&trust, "198.51.100.1, 10.0.0.1", "198.51.100.2, 10.0.0.1"),
        (2, 0)
    );
    assert_eq!(
        outcome(
            &trust,
            "1.1.1.1, 198.51.100.1",
            "2.2.2.2, 198.51.100.1, 10.0.0.1"
        ),
        (2, 1)
    );
}

/// Case 81: files are replayed in order of time, whatever the order of the arguments.
#[test]
fn rotated_files_are_replayed_from_the_oldest() {
    let logs = Logs::new();
    let newest = logs.write("access.log", seconds((360..480).step_by(3)));
    let middle = logs.write("access.log.1", seconds((240..360).step_by(3)));
    let older = logs.write("access.log.2.gz", gzip(&seconds((120..240).step_by(3))));
    let oldest = logs.write("access.log.3", seconds((0..120).step_by(3)));
    let said = replay(&["--policy", "20/minute"], &[newest, middle, older, oldest]);
    assert_eq!((said.outcome(), said.number("/late")), ((160, 0), 0));
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    // The report lists them in the order of the arguments.
    let name = said.report.pointer("/files/2/name").and_then(Value::as_str);
    assert!(name.is_some_and(|name| name.ends_with("access.log.2.gz")));
}

#[test]
fn logs_of_several_servers_are_merged() {
    let logs = Logs::new();
    let even = logs.write("web1.log", seconds((0..7_200).step_by(60)));
    let odd = logs.write("web2.log", seconds((30..7_230).step_by(60)));
    let said = replay(&["--policy", "2/minute", "--reorder", "0"], &[odd, even]);
    assert_eq!((said.outcome(), said.number("/late")), ((240, 0), 0));
}

#[test]
fn files_through_one_pipe_in_the_wrong_order_are_warned_of_loudly() {
    let log = [seconds(3_600..3_700), seconds(0..100)].concat();
    let said = replay_stdin(&["--policy", "1/second", "-"], log.as_bytes());
    assert_eq!(said.number("/late"), 100);
    assert!(
        said.stderr.contains("100 of 200 requests came too late"),
        "{}",
        said.stderr
    );
    let warning = said.report.pointer("/warnings/0").and_then(Value::as_str);
    assert!(warning.is_some_and(|warning| warning.contains("the numbers mean little")));
}

#[test]
fn a_few_late_requests_are_counted_and_many_are_warned_of() {
    let warns = |late: u64| {
        let log = [seconds(1_000..1_098), seconds(0..late)].concat();
        let said = replay_stdin(&["--reorder", "0", "-"], log.as_bytes());
        assert_eq!(said.number("/late"), late);
        said.stderr.contains("came too late")
    };
    assert!(!warns(2) && warns(3));
}

/// The limit of open files is often 1,024, and logs of a year are 365 files.
#[cfg(unix)]
#[test]
fn files_are_opened_when_they_are_due() {
    let logs = Logs::new();
    let files: Vec<_> = (0..60)
        .map(|day| logs.write(&format!("log.{day}"), seconds([6_000 - day * 100])))
        .collect();
    let report = logs.0.path().join("report.json");
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 16 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_tollgate-replay"))
        .arg("--json")
        .arg(&report)
        .args(&files)
        .stdout(Stdio::null())
        .status()
        .expect("a shell");
    assert!(status.success());
    let report = fs::read(report).expect("the report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(
        (&report["requests"], &report["late"]),
        (&60.into(), &0.into())
    );
}

#[test]
fn what_is_stored_is_bounded_by_the_clients_in_debt() {
    let log: String = (0..6_000)
        .map(|second: u64| {
            let client = format!("198.51.{}.{}", second / 256, second % 256);
            seconds([second]).replace("192.0.2.1", &client)
        })
        .collect();
    let said = replay_stdin(&["--policy", "1/10 seconds", "-"], log.as_bytes());
    assert_eq!(said.number("/clients"), 6_000);
    // A client is in debt for 10 seconds, and a sweep may be 256 requests late.
    assert_eq!(said.number("/policies/0/stored_at_end"), 10);
    let peak = said.number("/policies/0/stored_at_peak");
    assert!((64..=64 + 10 + 256).contains(&peak), "{peak}");
}

#[test]
fn one_log_given_twice_is_warned_of() {
    let logs = Logs::new();
    let plain = logs.write("access.log.1", seconds(0..10));
    let compressed = logs.write("access.log.1.gz", gzip(&seconds(0..10)));
    let said = replay(&[], &[plain, compressed]);
    assert!(
        said.stderr.contains("are they the same log?"),
        "{}",
        said.stderr
    );
}

/// Case 82: garbage behind a gzip member is warned of, and loses no result.
#[test]
fn garbage_behind_a_gzip_member_is_warned_of() {
    let logs = Logs::new();
    // The last line has no line feed.
    let text = seconds(0..10);
    let log = logs.write(
        "a.log.gz",
        [&gzip(text.trim_end())[..], b"garbage"].concat(),
    );
    let said = replay(&[], &[log]);
    assert_eq!(said.outcome(), (10, 0));
    assert_eq!((said.number("/malformed"), said.status), (0, 1));
    assert!(
        said.stderr.contains("behind its last gzip member"),
        "{}",
        said.stderr
    );
}

#[test]
fn what_is_before_a_damage_is_replayed_and_the_damage_is_told() {
    let logs = Logs::new();
    let whole = gzip(&seconds(0..20_000));
    let cut = logs.write("cut.gz", &whole[..whole.len() - 1_000]);
    let other = logs.write("other.log", seconds([5]));
    let said = replay(&[], &[cut, other]);
    assert_eq!(said.status, 1);
    assert!(
        said.stderr.contains("damaged, and read up to there"),
        "{}",
        said.stderr
    );
    let read = said.number("/files/0/requests");
    assert!((10_000..20_000).contains(&read), "{read}");
    assert_eq!(said.number("/malformed"), 0, "the line that is cut is none");
    assert_eq!(said.number("/files/1/requests"), 1);
}

#[test]
fn a_bad_file_loses_no_result_of_the_others() {
    let logs = Logs::new();
    let bad = [
        logs.write("other.json", "{\"a\": 1}\n".repeat(20)),
        logs.write("archive.zip", b"PK\x03\x04\x14\0\0\0\x08\0"),
        logs.0.path().join("no-such.log"),
        logs.0.path().to_owned(),
    ];
    let good = logs.write("good.log", seconds(0..20));
    for (bad, named) in bad.into_iter().zip([
        "other.json: 20 of 20 lines are malformed",
        "archive.zip: a file of type zip",
        "no-such.log: ",
        "directory",
    ]) {
        let said = replay(&["--policy", "10/hour"], &[bad, good.clone()]);
        assert_eq!((said.outcome(), said.status), ((20, 10), 1), "{named}");
        assert!(said.stderr.contains("error: "), "{}", said.stderr);
        assert!(said.stderr.contains(named), "{}", said.stderr);
    }
}

/// Case 83: a byte order mark, and a file in another format altogether.
#[test]
fn encodings_of_windows_are_read() {
    let logs = Logs::new();
    let text = seconds(0..20);
    let utf_16: Vec<u8> = format!("\u{feff}{text}")
        .replace('\n', "\r\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (name, bytes) in [
        ("utf-8.log", format!("\u{feff}{text}").into_bytes()),
        ("crlf.log", text.replace('\n', "\r\n").into_bytes()),
        ("utf-16.log", utf_16),
    ] {
        let said = replay(&["--policy", "10/hour"], &[logs.write(name, bytes)]);
        assert_eq!(
            (said.outcome(), said.number("/malformed")),
            ((20, 10), 0),
            "{name}"
        );
    }
}

#[test]
fn a_file_in_another_format_ends_with_an_error_that_shows_a_line() {
    for (log, shown, hint) in [
        (
            "{\"ts\":1,\"ip\":\"192.0.2.1\"}\n",
            "{\\\"ts\\\":1",
            "of the fields \"ip\", \"ts\"",
        ),
        (
            "<13>Mar 12 10:00:00 web1 cron[1]: ran\n",
            "cron[1]: ran",
            "ADDRESS - USER",
        ),
        ("", "no request to replay", "there are no lines"),
        ("\n\n\n", "no client", "ADDRESS - USER"),
    ] {
        let said = replay_stdin(&["-"], log.as_bytes());
        assert_eq!((said.status, said.number("/requests")), (1, 0), "{log}");
        for expected in ["error: ", shown, hint] {
            assert!(said.stderr.contains(expected), "{log}: {}", said.stderr);
        }
    }
}

#[test]
fn a_file_is_mostly_malformed_if_more_than_half_of_it_is() {
    for (malformed, status) in [(10, 0), (11, 1)] {
        let log = seconds(0..10) + &"not a line\n".repeat(malformed);
        let said = replay_stdin(&["-"], log.as_bytes());
        assert_eq!((said.status, said.number("/requests")), (status, 10));
        assert_eq!(said.number("/malformed"), malformed as u64);
    }
}

#[test]
fn a_proxy_in_the_place_of_the_client_is_warned_of() {
    let log = seconds(0..10).replace("192.0.2.1", "10.0.0.1");
    let said = replay_stdin(&["-"], log.as_bytes());
    assert!(
        said.stderr.contains("if these are proxies"),
        "{}",
        said.stderr
    );
    let half = log + &seconds(0..10);
    let said = replay_stdin(&["-"], half.as_bytes());
    assert!(!said.stderr.contains("proxy"), "{}", said.stderr);
}

#[test]
fn requests_without_a_key_are_counted_and_not_one_client() {
    let log =
        format!("192.0.2.1 - - {STAMP}\n").repeat(5) + &format!("192.0.2.1 - alice {STAMP}\n");
    let said = replay_stdin(
        &["--key", "user", "--policy", "1/minute", "-"],
        log.as_bytes(),
    );
    assert_eq!((said.outcome(), said.number("/without_key")), ((1, 0), 5));
    let said = replay_stdin(&["--key", "vhost", "-"], log.as_bytes());
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("no line has a key"), "{}", said.stderr);
}

#[test]
fn a_key_that_no_line_has_is_told_with_the_fields_that_there_are() {
    let log = "{\"ts\":1773309600,\"api_key\":\"a\"}\n";
    let said = replay_stdin(
        &["--format", "json", "--time", "ts", "--key", "api_kye", "-"],
        log.as_bytes(),
    );
    assert_eq!(said.status, 1);
    assert!(
        said.stderr.contains("no line has a value in api_kye"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("\"api_key\""), "{}", said.stderr);
}

#[test]
fn many_malformed_lines_are_warned_of() {
    let warns = |malformed: usize| {
        let log = seconds(0..98) + &"not a line\n".repeat(malformed);
        let said = replay_stdin(&["-"], log.as_bytes());
        assert_eq!(said.status, 0);
        said.stderr.contains("lines are malformed")
    };
    assert!(!warns(2) && warns(3));
}

#[test]
fn a_log_on_standard_input_is_not_passed_over() {
    let said = replay_stdin(&[], seconds(0..10).as_bytes());
    assert_eq!((said.status, &said.report), (2, &Value::Null));
    assert!(
        said.stderr.contains("expected - to read it"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_before_the_replay() {
    let logs = Logs::new();
    let html = logs.0.path().join("no/such/folder.html");
    let html = html.to_str().expect("a path in UTF-8");
    let said = replay_stdin(&["--html", html, "-"], seconds(0..10).as_bytes());
    assert_eq!((said.status, &said.report), (1, &Value::Null));
    assert!(said.stderr.contains("error: --html "), "{}", said.stderr);
}

#[test]
fn a_file_that_is_replaced_during_the_replay_is_an_error() {
    let logs = Logs::new();
    let log = logs.write("access.log", seconds(100..110));
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate-replay"))
        .args([log.as_os_str(), "-".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // This is more than a pipe holds. So the program has read from it, after it looked into the file,
    // which is not due before the end of this.
    let earlier = seconds(0..100).repeat(100);
    stdin.write_all(earlier.as_bytes()).expect("it is read");
    fs::rename(&log, logs.0.path().join("access.log.1")).expect("a new name");
    fs::write(&log, seconds(200..210)).expect("a new log");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(
        stderr.contains("it was replaced during the replay"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn one_pipe_named_twice_is_an_error() {
    let said = replay_stdin(&["-", "-"], seconds(0..10).as_bytes());
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("- is named twice"), "{}", said.stderr);
}

#[test]
fn a_log_is_not_overwritten_by_a_report() {
    let logs = Logs::new();
    let log = logs.write("access.log", seconds(0..10));
    for argument in ["--html", "--json"] {
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate-replay"))
            .args([argument.as_ref(), log.as_os_str(), log.as_os_str()])
            .output()
            .expect("the program starts");
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains("a file that is not read"), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&log).expect("the log"), seconds(0..10));
}

#[test]
fn a_malformed_line_that_is_most_of_a_file_is_an_error() {
    let log = seconds(0..100) + &seconds(0..6_000).replace('\n', "\r");
    let said = replay_stdin(&["-"], log.as_bytes());
    assert_eq!(
        (said.number("/requests"), said.number("/malformed")),
        (100, 1)
    );
    assert_eq!(said.status, 1);
    assert!(
        said.stderr.contains("1 of 101 lines are malformed"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_hole_of_a_truncated_log_hides_no_line() {
    let logs = Logs::new();
    let hole = vec![0; 300_000];
    let log = logs.write("access.log", [&hole, seconds(0..10).as_bytes()].concat());
    let said = replay(&[], std::slice::from_ref(&log));
    assert_eq!((said.outcome(), said.number("/malformed")), ((10, 0), 0));
    let said = replay(&["--key", "vhost"], &[log]);
    assert_eq!(said.number("/without_key"), 10);
}

#[test]
fn a_clock_that_was_wrong_is_warned_of() {
    let log = seconds(0..10) + &seconds([10]).replace("2026", "2066");
    let said = replay_stdin(&["-"], log.as_bytes());
    assert!(
        said.stderr.contains("days before 2066-03-12"),
        "{}",
        said.stderr
    );
}

#[test]
fn fractions_of_seconds_decide() {
    let line = |time: &str| format!("{{\"t\":{time},\"k\":\"a\"}}\n");
    let log = ["1773309600.0", "1773309600.4", "1773309600.5"]
        .map(line)
        .concat();
    let arguments = [
        "--format",
        "json",
        "--time",
        "t",
        "--key",
        "k",
        "--policy",
        "2/second burst 1",
        "-",
    ];
    assert_eq!(replay_stdin(&arguments, log.as_bytes()).outcome(), (3, 1));
}

#[test]
fn whole_seconds_are_warned_of_where_they_matter() {
    let warns = |policy: &str| {
        let said = replay_stdin(&["--policy", policy, "-"], seconds(0..3).as_bytes());
        said.stderr
            .contains("the times of the log are whole seconds")
    };
    assert!(warns("10/second") && warns("60/minute burst 4") && warns("5/minute; 1/second"));
    assert!(!warns("100/minute burst 10") && !warns("60/minute burst 5"));

    let exact = "{\"t\":1773309600.5,\"k\":\"a\"}\n{\"t\":1773309601,\"k\":\"a\"}\n";
    let arguments = ["--format", "json", "--time", "t", "--key", "k"];
    let policy = ["--policy", "10/second", "-"];
    let said = replay_stdin(&[&arguments[..], &policy].concat(), exact.as_bytes());
    assert_eq!((said.outcome(), said.stderr.as_str()), ((2, 0), ""));
}
