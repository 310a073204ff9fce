//! A TCP proxy that misbehaves on demand.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether::election::time::BootTime;

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
    CutAfter(String),
}

/// What the proxy has passed to the server so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requests {
    /// How often a client sent something that was not part of the same request: something came back since.
    pub count: usize,
    /// When the last one began.
    pub last: Option<BootTime>,
}

/// The proxy; it ends when dropped.
pub struct Proxy {
    port: u16,
    server: Arc<AtomicU16>,
    mode: watch::Sender<Mode>,
    connections: Arc<()>,
    requests: Arc<Mutex<Requests>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (mode, modes) = watch::channel(Mode::Pass);
        let connections = Arc::new(());
        let counter = Arc::clone(&connections);
        let requests = Arc::new(Mutex::new(Requests::default()));
        let counted = Arc::clone(&requests);
        let server = Arc::new(AtomicU16::new(port));
        let server_now = Arc::clone(&server);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (modes, alive) = (modes.clone(), Arc::clone(&counter));
                let (port, counted) = (server_now.load(Ordering::Relaxed), Arc::clone(&counted));
                tokio::spawn(async move {
                    serve(client, port, modes, counted).await;
                    drop(alive);
                });
            }
        });
        Self { port: own_port, server, mode, connections, requests, task }
    }

    /// The same, run by a thread of its own, for tests that block.
    pub fn in_background(port: u16) -> Background {
        let (ready, proxy) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                ready.send(Proxy::before(port).await).unwrap();
                let _ = stopped.await;
            });
        });
        Background { proxy: proxy.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    /// Sends new connections to another server.
    pub fn redirect(&self, port: u16) {
        self.server.store(port, Ordering::Relaxed);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// The requests so far.
    pub fn requests(&self) -> Requests {
        *self.requests.lock().unwrap()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        // This one and the listener's.
        Arc::strong_count(&self.connections) - 2
    }
}

/// See [`Proxy::in_background`].
pub struct Background {
    proxy: Proxy,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::ops::Deref for Background {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    client: TcpStream,
    port: u16,
    modes: watch::Receiver<Mode>,
    counted: Arc<Mutex<Requests>>,
) {
    if *modes.borrow() == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (armed, is_armed) = watch::channel(false);
    let mut cut = modes.clone();
    // One connection of one thread: no other order than that of what passes.
    let quiet = AtomicBool::new(true);
    let count = || {
        if quiet.swap(false, Ordering::Relaxed) {
            let mut counted = counted.lock().unwrap();
            *counted = Requests { count: counted.count + 1, last: Some(crate::now()) };
        }
    };
    let answered = || quiet.store(true, Ordering::Relaxed);
    tokio::select! {
        () = requests(from_client, to_server, modes.clone(), armed, count) => {}
        () = answers(from_server, to_client, modes, is_armed, answered) => {}
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
    count: impl Fn(),
) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        count();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let mode = passage(&mut modes).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
        // Not before: an answer to an earlier request would close the connection under this one.
        if let Mode::CutAfter(part) = mode
            && text.contains(&part)
        {
            armed.send_replace(true);
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    is_armed: watch::Receiver<bool>,
    answered: impl Fn(),
) {
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        answered();
        passage(&mut modes).await;
        if *is_armed.borrow() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
