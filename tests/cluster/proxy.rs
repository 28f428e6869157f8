//! A way to Redis that can be slow, silent or cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// It ends with this value.
pub struct Proxy {
    port: u16,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way {
    delay_ms: AtomicU64,
    is_silent: AtomicBool,
    has_ended: AtomicBool,
    /// Both sides of each pair.
    sockets: Mutex<Vec<TcpStream>>,
    /// Connections that were made.
    dials: AtomicU64,
}

impl Proxy {
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(Way::default());
        let shared = Arc::clone(&way);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if shared.has_ended.load(Ordering::Acquire) {
                    return;
                }
                shared.dials.fetch_add(1, Ordering::AcqRel);
                // Redis may be away: then the near side ends too.
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) {
                    shared.join(&near, &far);
                }
            }
        });
        Self { port, way }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What passes from now on is this late, on each way.
    pub fn delay(&self, time: Duration) {
        self.way.delay_ms.store(time.as_millis() as u64, Ordering::Release);
    }

    /// Nothing passes while it is silent, and nobody is told.
    pub fn silence(&self, is_silent: bool) {
        self.way.is_silent.store(is_silent, Ordering::Release);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for socket in self.way.sockets.lock().unwrap().drain(..) {
            // Its other end may be gone already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Connections so far.
    pub fn dials(&self) -> u64 {
        self.way.dials.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.way.has_ended.store(true, Ordering::Release);
        self.cut();
        // Its thread waits for somebody to come.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Way {
    fn join(self: &Arc<Self>, near: &TcpStream, far: &TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        for stream in [near, far] {
            stream.set_nodelay(true).unwrap();
            self.sockets.lock().unwrap().push(clone(stream));
        }
        for (from, to) in [(clone(near), clone(far)), (clone(far), clone(near))] {
            let way = Arc::clone(self);
            thread::spawn(move || way.carry(from, to));
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut some = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut some) {
            thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Acquire)));
            while self.is_silent.load(Ordering::Acquire) && !self.has_ended.load(Ordering::Acquire)
            {
                thread::sleep(Duration::from_millis(5));
            }
            if to.write_all(&some[..count]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            // One of them has ended; the other may have as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
