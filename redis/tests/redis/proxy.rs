//! A network that delays, cuts and swallows: a TCP proxy in front of a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// What the proxy does with bytes and connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Passes everything on.
    #[default]
    None,
    /// Passes each read on after a delay between the two, another each time.
    Delay(Duration, Duration),
    /// Passes requests on, and swallows the replies.
    LoseReplies,
    /// Swallows everything, as a network that drops all packets.
    Swallow,
    /// Closes each connection once a request has been passed on, before its reply.
    CutBeforeReply,
    /// Closes each connection at once.
    Refuse,
}

/// A proxy on a port of its own. It ends when this is dropped.
pub struct Proxy {
    pub port: u16,
    fault: watch::Sender<Fault>,
    /// Raised to cut all connections.
    cuts: watch::Sender<u64>,
    connections: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server at `port`.
    pub async fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (fault, faults) = watch::channel(Fault::None);
        let (cuts, cut) = watch::channel(0);
        let connections = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (faults, mut cut) = (faults.clone(), cut.clone());
                count.fetch_add(1, Ordering::SeqCst);
                cut.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(client, port, faults) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Proxy {
            port: own,
            fault,
            cuts,
            connections,
            task,
        }
    }

    /// Sets what happens from now on, also to connections that are open.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Cuts every connection that is open.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Returns how many connections there have been.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns a client whose connections go through the proxy.
    pub fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn serve(client: TcpStream, port: u16, faults: watch::Receiver<Fault>) {
    if *faults.borrow() == Fault::Refuse {
        return;
    }
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever end closes first closes both.
    tokio::select! {
        () = pass(from_client, to_server, faults.clone(), Direction::Request) => {}
        () = pass(from_server, to_client, faults, Direction::Reply) => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Reply,
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: watch::Receiver<Fault>,
    direction: Direction,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let fault = *faults.borrow();
        match (fault, direction) {
            (Fault::None, _) | (Fault::LoseReplies | Fault::CutBeforeReply, Direction::Request) => {
            }
            (Fault::Delay(least, most), _) => {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let spread = u64::try_from((most - least).as_micros()).unwrap().max(1);
                sleep(least + Duration::from_micros(random % spread)).await;
            }
            (Fault::Swallow, _) | (Fault::LoseReplies, Direction::Reply) => continue,
            (Fault::Refuse, _) | (Fault::CutBeforeReply, Direction::Reply) => return,
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
