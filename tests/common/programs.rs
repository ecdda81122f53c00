//! The example services as programs.

use std::{env, fs, future::Future, io, path::PathBuf, process::Stdio, time::Duration};

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::contract::Variables;
use super::served::{Curl, answer, client, example_path};
use super::sockets::over_sockets;

/// It is shorter than the deadline of `over_sockets`, which would leave the programs running.
const GUARD: Duration = Duration::from_secs(30);

/// Runs `test`. If it hangs, ends it and the programs that it has started.
pub fn with_programs(test: impl Future<Output = ()> + Send + 'static) {
    over_sockets(async {
        let in_time = timeout(GUARD, test).await;
        in_time.expect("the programs hang");
    });
}

/// An example that was started, and has printed where it listens.
pub struct Program {
    child: Child,
    pub limit: String,
    /// The request that it prints.
    pub curl: Curl,
}

impl Program {
    pub async fn start(service: &str, mut variables: Variables) -> Program {
        variables.insert("PORT".to_owned(), "0".into());
        let mut child = command(service, variables).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let mut line = async |start: &str| {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("{service} ended"));
            let rest = line.strip_prefix(start);
            rest.unwrap_or_else(|| panic!("not {start:?}: {line}"))
                .to_owned()
        };
        let url = line(&format!("{service} listens on ")).await;
        let limit = line("limit: ").await;
        let curl = Curl::parse(&line("try: ").await);
        let port = url.strip_prefix("http://127.0.0.1:").unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0);
        assert!(curl.url.starts_with(&format!("{url}/")), "{}", curl.url);
        Program { child, limit, curl }
    }

    pub fn address(&self) -> &str {
        let (address, _) = self.curl.url["http://".len()..].split_once('/').unwrap();
        address
    }

    /// Returns the limit as it is printed, and as a response has it.
    pub async fn limit(&self) -> (String, u64) {
        let answer = answer(self.curl.request(&client(), &self.curl.url)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let [limit, remaining, _] = answer.limit_remaining_reset();
        assert_eq!(remaining, limit - 1);
        (self.limit.clone(), limit)
    }

    /// Sends the printed request over a new connection. Returns the status.
    pub async fn try_it(&self) -> StatusCode {
        answer(self.curl.request(&client(), &self.curl.url))
            .await
            .status
    }

    /// Begins a request with a body of six bytes, and returns when the server waits for the body.
    pub async fn begin(&self, path: &str, header: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\
             content-length: 6\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut begun = [0; 25];
        stream.read_exact(&mut begun).await.unwrap();
        assert_eq!(begun, *expected);
        stream
    }

    /// Closes the pipe of standard error, so that writes of the program fail.
    pub fn close_stderr(&mut self) {
        drop(self.child.stderr.take());
    }

    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("the program was not waited for");
        let mut kill = Command::new("kill");
        let status = kill.args(["-s", signal, &id.to_string()]).status().await;
        assert!(status.unwrap().success());
    }

    /// Sends a signal, and returns when the program no longer listens.
    pub async fn ask_to_stop(&self, signal: &str) {
        self.signal(signal).await;
        loop {
            match TcpStream::connect(self.address()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => break,
                // The connection was still in the queue.
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
            }
        }
    }

    /// Waits for the end. Returns the exit code and the text on standard error.
    pub async fn end(self) -> (Option<i32>, String) {
        let output = self.child.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    }
}

/// Starts a program that stops at the start. Returns its exit code and the text on standard error.
pub async fn stopped(service: &str, variables: Variables) -> (Option<i32>, String) {
    let mut child = command(service, variables).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap(), None, "it listens");
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

/// Returns the command of an example, with these variables and no others.
fn command(service: &str, variables: Variables) -> Command {
    let mut command = Command::new(program(service));
    command.env_clear().envs(variables).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns the path of an example that cargo has built beside this test.
fn program(service: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("tests lie in PROFILE/deps");
    let program = profile.join("examples").join(service);
    let built = fs::metadata(&program).and_then(|program| program.modified());
    let mut written = vec![
        format!("{service}.rs"),
        "service/acceptor.rs".to_owned(),
        "service/console.rs".to_owned(),
        "service/mod.rs".to_owned(),
        "service/requests.rs".to_owned(),
        "service/server.rs".to_owned(),
        "service/settings.rs".to_owned(),
    ];
    if service.starts_with("turns_") {
        written.push("turns/mod.rs".to_owned());
    }
    let time_of = |file: &String| {
        fs::metadata(example_path(file))
            .unwrap()
            .modified()
            .unwrap()
    };
    let mut written = written.iter().map(time_of);
    // `cargo test --test NAME` builds no examples.
    assert!(
        built.is_ok_and(|built| written.all(|written| written <= built)),
        "examples/{service} is missing or stale: cargo build --workspace --examples --all-features"
    );
    program
}
