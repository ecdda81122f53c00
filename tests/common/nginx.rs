//! A real nginx in front of upstreams on loopback, as a child process with its own directory.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

/// How nginx passes requests on, beside its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxying {
    /// Reads all of a body, then sends it over HTTP/1.0 and a new connection.
    Default,
    /// Sends a body on while it arrives.
    Unbuffered,
    /// Sends over HTTP/1.1 and over connections that are kept.
    Keepalive,
}

/// Runs nginx in the directory `$0` until the pipe closes, at the latest when the test process ends.
/// `-e` names the log for messages from before nginx has read its configuration.
const UNTIL_STDIN_ENDS: &str = r#"
    nginx -e stderr -p "$0" -c "$0/nginx.conf" &
    exec 2> /dev/null
    read -r _
    kill -9 $!
    wait
    rm -rf "$0"
"#;

pub struct Nginx {
    child: Child,
    log: Arc<Mutex<String>>,
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts nginx, and returns when it listens.
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
        let configuration = configured(proxying, address, upstreams);
        fs::write(directory.join("nginx.conf"), configuration).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", UNTIL_STDIN_ENDS])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
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
            log: Arc::clone(&log),
            address,
        };
        if !is_up {
            return Err(nginx.log());
        }
        // A full pipe would block nginx.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Ok(nginx)
    }

    /// Returns the log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        _ = self.child.wait();
    }
}

/// One process without a master, so that a kill ends all of it.
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
