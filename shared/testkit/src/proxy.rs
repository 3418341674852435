//! A TCP proxy that can cut the line.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::Result;

#[derive(Default)]
struct Line {
    cut: AtomicBool,
    ended: AtomicBool,
    next: AtomicU64,
    /// Both ends of every connection that is open; they are let go of when either end closes.
    open: Mutex<HashMap<u64, [TcpStream; 2]>>,
}

impl Line {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, [TcpStream; 2]>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn close(&self, id: u64) {
        for stream in self.open().remove(&id).into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    fn close_all(&self) {
        let all: Vec<u64> = self.open().keys().copied().collect();
        all.into_iter().for_each(|id| self.close(id));
    }
}

/// Forwards connections to one address, until cut. Ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
}

impl Proxy {
    /// Listens on `port` (0 for a free one) and forwards to `target`.
    pub fn start(port: u16, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line::default());
        let of_thread = line.clone();
        std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::SeqCst) {
                    return;
                }
                if of_thread.cut.load(Ordering::SeqCst) {
                    continue;
                }
                // A target that is away closes the connection, as it would without us.
                if let Ok(other) = TcpStream::connect(target) {
                    let _ = forward(stream, other, &of_thread);
                }
            }
        })?;
        Ok(Self { address, line })
    }
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Cuts all connections and takes no new ones, or takes them again.
    pub fn cut(&self, cut: bool) {
        self.line.cut.store(cut, Ordering::SeqCst);
        if cut {
            self.line.close_all();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.ended.store(true, Ordering::SeqCst);
        self.line.close_all();
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn forward(near: TcpStream, far: TcpStream, line: &Arc<Line>) -> Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let id = line.next.fetch_add(1, Ordering::SeqCst);
    line.open().insert(id, [near.try_clone()?, far.try_clone()?]);
    for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        let line = line.clone();
        std::thread::Builder::new().name("proxy-line".to_owned()).spawn(move || {
            pump(from, to);
            line.close(id);
        })?;
    }
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
}
