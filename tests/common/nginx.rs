//! A real nginx in front of upstreams on loopback, as a child process with a directory of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// How nginx proxies, beside its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxying {
    /// HTTP/1.0, one connection for each request, and whole bodies.
    Default,
    /// Bodies go on while they come.
    Unbuffered,
    /// HTTP/1.1, and connections that are used again.
    Keepalive,
}

pub struct Nginx {
    child: Child,
    directory: PathBuf,
    log: Arc<Mutex<String>>,
    pub address: SocketAddr,
}

/// True if there is an nginx to start.
pub fn is_installed() -> bool {
    let version = Command::new("nginx")
        .arg("-v")
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

impl Nginx {
    /// Starts nginx, and returns once it listens.
    ///
    /// Another process may take the free port first, so this tries several.
    pub fn start(proxying: Proxying, upstreams: &[SocketAddr]) -> Nginx {
        let mut logs = Vec::new();
        for _ in 0..5 {
            match Nginx::try_start(proxying, upstreams) {
                Ok(nginx) => return nginx,
                Err(log) => logs.push(log),
            }
        }
        panic!("nginx does not start: {logs:#?}");
    }

    fn try_start(proxying: Proxying, upstreams: &[SocketAddr]) -> Result<Nginx, String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let name = format!("tollgate-nginx-{}-{}", std::process::id(), address.port());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, configured(proxying, address, upstreams)).unwrap();
        let mut child = Command::new("nginx")
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(&configuration)
            // Before it has read where to log.
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        // It logs a notice with its version once its sockets listen.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let is_up = lines.by_ref().map_while(Result::ok).any(|line| {
            log.push_str(&line);
            log.push('\n');
            line.contains("[notice]") && line.contains("nginx/")
        });
        let log = Arc::new(Mutex::new(log));
        let nginx = Nginx {
            child,
            directory,
            log: Arc::clone(&log),
            address,
        };
        if !is_up {
            return Err(nginx.log());
        }
        // Or the pipe is full one day, and nginx waits.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Ok(nginx)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = fs::remove_dir_all(&self.directory);
    }
}

/// One process, which a kill ends whole.
fn configured(proxying: Proxying, address: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let servers: String = upstreams
        .iter()
        .map(|upstream| format!("server {upstream};\n"))
        .collect();
    let (pool, how) = match proxying {
        Proxying::Default => ("", ""),
        Proxying::Unbuffered => ("", "proxy_request_buffering off;"),
        Proxying::Keepalive => (
            "keepalive 16;",
            "proxy_http_version 1.1; proxy_set_header Connection \"\";",
        ),
    };
    format!(
        "daemon off;
        master_process off;
        pid nginx.pid;
        error_log stderr notice;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            client_max_body_size 32m;
            upstream service {{
                {servers}
                {pool}
            }}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://service;
                    {how}
                }}
            }}
        }}"
    )
}
