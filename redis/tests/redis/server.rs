//! Servers of a test's own: Debian's `redis-server`, on loopback and on a free port.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tollgate_redis::{Builder, SharedLimiter};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. It ends when this is dropped.
pub struct Server {
    process: Child,
    pub port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

impl Server {
    /// Starts a server without persistence.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// Starts a server with more options, such as `--cluster-enabled yes`.
    pub fn with(options: &[&str]) -> Server {
        Server::program("redis-server", options)
    }

    /// Starts `redis-server` or `redis-sentinel` with options behind its port and directory.
    pub fn program(program: &str, options: &[&str]) -> Server {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        // The port may be taken by another process between its choice and the start.
        for _ in 0..10 {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            let directory =
                std::env::temp_dir().join(format!("tollgate-{}-{number}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            let port = free_port();
            let mut server = Server {
                process: spawn(program, port, &directory, &options),
                port,
                directory,
                options,
            };
            if server.is_up() {
                return server;
            }
        }
        panic!("{program} does not start on any port");
    }

    /// Waits until the server listens. Returns whether it does.
    fn is_up(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.answers() {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn answers(&self) -> bool {
        let client = self.client();
        let connection = client.get_connection_with_timeout(Duration::from_secs(1));
        connection
            .is_ok_and(|mut connection| redis::cmd("PING").query::<String>(&mut connection).is_ok())
    }

    /// Returns a client of the server.
    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    /// Returns the address of the server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Builds a limiter on the server.
    pub fn limiter<const N: usize>(&self, builder: Builder<N>) -> SharedLimiter<N> {
        builder.connect(self.client()).unwrap()
    }

    /// Runs a command, given as words.
    pub fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.client().get_connection().unwrap();
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection).unwrap()
    }

    /// Returns the names of all keys.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.run(&["KEYS", "*"]);
        keys.sort();
        keys
    }

    /// Stops the process, as if the machine hung.
    pub fn suspend(&self) {
        self.signal("STOP");
    }

    /// Lets a suspended process go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Kills the process, as if the machine failed.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a killed server again on its port, without its data.
    pub fn restart(&mut self) {
        self.process = spawn("redis-server", self.port, &self.directory, &self.options);
        assert!(
            self.is_up(),
            "redis-server does not start again on port {}",
            self.port
        );
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.process.id().to_string()])
            .status()
            .expect("`kill` is there");
        assert!(status.success(), "kill -{name} fails");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
        _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(program: &str, port: u16, directory: &PathBuf, options: &[String]) -> Child {
    let mut command = Command::new(program);
    if program == "redis-sentinel" {
        // It writes to its configuration.
        let file = directory.join("sentinel.conf");
        fs::write(&file, "").unwrap();
        command.arg(file);
    }
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.arg("--dir").arg(directory);
    if program == "redis-server" {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    command
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("{program} cannot be started: {error}. Install the packages redis-server and redis-sentinel")
    })
}

/// Returns a port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
