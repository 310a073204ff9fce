//! A TCP proxy that misbehaves on demand.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with what passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Takes everything in and passes nothing on.
    Stall,
    /// Passes everything on, this much later.
    Delay(Duration),
    /// Closes every connection, new ones too.
    Cut,
    /// Passes requests on; the first answer after one that contains this text is swallowed, and
    /// its connection closed.
    CutAfter(&'static str),
}

/// The proxy; it ends when dropped.
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    connections: Arc<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (mode, modes) = watch::channel(Mode::Pass);
        let connections = Arc::new(());
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (modes, alive) = (modes.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    serve(client, port, modes).await;
                    drop(alive);
                });
            }
        });
        Self { port: own_port, mode, connections, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        // This one and the listener's.
        Arc::strong_count(&self.connections) - 2
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, port: u16, modes: watch::Receiver<Mode>) {
    if *modes.borrow() == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (armed, is_armed) = watch::channel(false);
    let mut cut = modes.clone();
    tokio::select! {
        () = requests(from_client, to_server, modes.clone(), armed) => {}
        () = answers(from_server, to_client, modes, is_armed) => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

/// Waits while the proxy stalls.
async fn passage(modes: &mut watch::Receiver<Mode>) -> Mode {
    let mode = modes.wait_for(|mode| *mode != Mode::Stall).await.unwrap().clone();
    if let Mode::Delay(delay) = mode {
        tokio::time::sleep(delay).await;
    }
    mode
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    armed: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if let Mode::CutAfter(part) = passage(&mut modes).await
            && text.contains(part)
        {
            armed.send_replace(true);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    is_armed: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        passage(&mut modes).await;
        if *is_armed.borrow() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
