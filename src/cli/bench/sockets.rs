//! Connections that do not block, their own addresses spread over 127.0.0.0/8.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

/// Connections from one address: few enough that ports in TIME_WAIT of earlier runs do not matter.
const PER_ADDRESS: usize = 500;
/// Last bytes of addresses that are used: 1 to this.
const HOSTS: usize = 250;
/// The answer to a connect that goes on in the background; std has no stable kind for it.
const EINPROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };

/// Hands out the addresses that connections come from.
#[derive(Debug)]
pub(super) struct Sources {
    /// The second byte of the addresses.
    net: u8,
    given: usize,
}

impl Sources {
    /// Addresses 127.`net`.x.y.
    pub(super) const fn new(net: u8) -> Self {
        Self { net, given: 0 }
    }

    /// Begins to connect; the connection is there when it becomes writable.
    ///
    /// # Errors
    /// When the system refuses at once.
    pub(super) fn connect(&mut self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if let Some(source) = self.source(to) {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Ok(()) => (),
            Err(error) if is_in_progress(&error) => (),
            Err(error) => return Err(error),
        }
        Ok(TcpStream::from_std(socket.into()))
    }

    /// The next address of our own; `None` where the system is to choose, as the server is elsewhere.
    fn source(&mut self, to: SocketAddr) -> Option<IpAddr> {
        let IpAddr::V4(to) = to.ip() else { return None };
        let number = self.given / PER_ADDRESS;
        self.given += 1;
        let (third, fourth) = ((number / HOSTS % 250) as u8, 1 + (number % HOSTS) as u8);
        to.is_loopback().then(|| Ipv4Addr::new(127, self.net, third, fourth).into())
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    let would_block = error.kind() == io::ErrorKind::WouldBlock;
    would_block || error.raw_os_error() == Some(EINPROGRESS)
}

/// Makes dropping the connection a reset, which the server cannot overlook and which leaves no port in
/// TIME_WAIT.
pub(super) fn cut(stream: TcpStream) {
    // A connection that is gone already needs no cutting.
    let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
    drop(stream);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spread_when_the_server_is_near() {
        let mut sources = Sources::new(1);
        let near = SocketAddr::from(([127, 0, 0, 1], 80));
        let given: Vec<_> = (0..PER_ADDRESS * 2).filter_map(|_| sources.source(near)).collect();
        assert_eq!(given[0], given[PER_ADDRESS - 1]);
        assert_eq!(given[PER_ADDRESS], IpAddr::from([127, 1, 0, 2]));
        assert_eq!(sources.source(SocketAddr::from(([10, 0, 0, 1], 80))), None);
        assert_eq!(sources.source("[::1]:80".parse().unwrap()), None);
    }
}
