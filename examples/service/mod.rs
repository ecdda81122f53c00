//! What both services share: settings from the environment, and a server that ends when asked.
//! Nothing here is about limits.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fmt::{self, Display},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
};

use axum::Router;
use tokio::{net::TcpListener, sync::Notify};

/// Where variables are looked up: in [`environment`], or in what a test says.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// The environment of the process.
pub fn environment(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// A variable that holds a whole number within bounds, or is not set.
pub struct Setting<T> {
    pub name: &'static str,
    pub default: T,
    pub from: T,
    pub to: T,
}

impl<T: Copy + Display + FromStr + PartialOrd> Setting<T> {
    pub fn read(&self, environment: &Environment<'_>) -> Result<T, Refused> {
        let Setting {
            name,
            default,
            from,
            to,
        } = *self;
        let expected = || format!("a whole number from {from} to {to}");
        let is_within = |number: &T| (from..=to).contains(number);
        read(environment, name, default, expected, is_within)
    }
}

/// The address to listen on is `HOST`; 127.0.0.1, which only this machine reaches, if not set.
pub const HOST: &str = "HOST";

/// `PORT`, where 0 picks one that is free.
pub const fn port(default: u16) -> Setting<u16> {
    Setting {
        name: "PORT",
        default,
        from: 0,
        to: u16::MAX,
    }
}

/// `HOST` and `PORT`.
pub fn address(port: &Setting<u16>, environment: &Environment<'_>) -> Result<SocketAddr, Refused> {
    let expected = || "an IPv4 or IPv6 address".to_owned();
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let host = read(environment, HOST, host, expected, |_| true)?;
    Ok(SocketAddr::new(host, port.read(environment)?))
}

/// What is set but cannot be taken stops the service: a limit that was mistyped is no limit, and
/// falling back to the default would hide that.
fn read<T: FromStr>(
    environment: &Environment<'_>,
    name: &'static str,
    default: T,
    expected: impl FnOnce() -> String,
    is_allowed: impl FnOnce(&T) -> bool,
) -> Result<T, Refused> {
    let Some(value) = environment(name) else {
        return Ok(default);
    };
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.filter(is_allowed).ok_or_else(|| Refused {
        name,
        expected: expected(),
        value,
    })
}

/// A variable that was refused.
#[derive(Debug)]
pub struct Refused {
    name: &'static str,
    value: OsString,
    expected: String,
}

impl Error for Refused {}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused {
            name,
            value,
            expected,
        } = self;
        write!(f, "{name} is {value:?}; expected {expected}")
    }
}

/// A server that listens, and does not answer yet.
pub struct Server {
    listener: TcpListener,
    signals: Signals,
    address: SocketAddr,
}

impl Server {
    pub async fn listen(address: SocketAddr) -> io::Result<Server> {
        // First, so that whoever has seen the address can rely on an orderly end.
        let signals = Signals::listen()?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?;
        let address = listener.local_addr()?;
        Ok(Server {
            listener,
            signals,
            address,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until it is asked to stop, and then finishes the requests under way. Asked again, it
    /// does not wait for them.
    pub async fn serve(mut self, router: Router) -> io::Result<()> {
        let stop = Arc::new(Notify::new());
        let stopped = {
            let stop = Arc::clone(&stop);
            async move { stop.notified().await }
        };
        let server = axum::serve(self.listener, router).with_graceful_shutdown(stopped);
        let asked_twice = async {
            self.signals.next().await;
            stop.notify_one();
            self.signals.next().await;
        };
        tokio::select! {
            served = server => served,
            () = asked_twice => Err(io::Error::other("stopped with requests under way")),
        }
    }
}

/// What asks a service to stop: ctrl-c, and SIGTERM.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What asks a service to stop: ctrl-c.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// What `main` returns: an error is printed in its own words.
pub fn exit_code(ended: Result<(), Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
