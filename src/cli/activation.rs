//! Sockets that a service manager listens on for us (sd_listen_fds(3)).
//!
//! They outlive the process: who connects while the server is restarted waits in the socket instead of being
//! refused.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use socket2::Socket;

/// The listening sockets that this process was started with.
#[derive(Debug, Default)]
pub(super) struct HandedOver {
    /// For everybody.
    pub(super) public: Vec<TcpListener>,
    /// For the operator alone: those of a socket unit with `FileDescriptorName=admin`.
    pub(super) admin: Vec<TcpListener>,
}

/// Takes them over. Once, and before there are threads: nobody else may have their descriptors.
///
/// # Errors
/// When something was handed over that is not a listening TCP socket.
pub(super) fn take() -> Result<HandedOver, String> {
    let fail = |why: &str| format!("cannot take over the service manager's sockets: {why}");
    let sockets = sd_listen_fds::get().map_err(|error| fail(&error.to_string()))?;
    let mut handed_over = HandedOver::default();
    for (name, descriptor) in sockets {
        let name = name.unwrap_or_else(|| "unnamed".to_owned());
        let listener =
            listener(descriptor.into_std()).map_err(|why| fail(&format!("{name}: {why}")))?;
        let kind = if name == "admin" { &mut handed_over.admin } else { &mut handed_over.public };
        kind.push(listener);
    }
    Ok(handed_over)
}

/// The listener behind a descriptor.
fn listener(descriptor: OwnedFd) -> Result<TcpListener, String> {
    let socket = Socket::from(descriptor);
    let address = socket.local_addr().map_err(|error| format!("not a socket ({error})"))?;
    if address.as_socket().is_none() {
        return Err("not a TCP socket; write ListenStream=ADDRESS:PORT".to_owned());
    }
    if !socket.is_listener().map_err(|error| error.to_string())? {
        return Err("a connection and not a listener; write Accept=no".to_owned());
    }
    socket.set_cloexec(true).map_err(|error| error.to_string())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_a_listening_tcp_socket_is_taken() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = own.local_addr().unwrap();
        let connected = TcpStream::connect(address).unwrap();
        assert_eq!(listener(own.into()).unwrap().local_addr().unwrap(), address);
        assert!(listener(connected.into()).unwrap_err().contains("Accept=no"));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(listener(file.into()).unwrap_err().contains("not a socket"));
        let folder = std::env::temp_dir().join(format!("tidings-{}", std::process::id()));
        let unix = UnixListener::bind(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert!(listener(unix.into()).unwrap_err().contains("ListenStream="));
    }
}
