//! 208 to 233: threads, the reactor, the operating system.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::afterwards::{assert_nothing_is_left, assert_served};
use crate::support::*;

#[test]
fn attack_221_who_sends_as_fast_as_it_can_holds_up_nobody() {
    for_workers(&[], |server| {
        // A batch has no end, and a line of it that is too long is dropped at full speed.
        let head = "POST /topics HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-ndjson\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        let chunk = [b"10000\r\n", [b'x'; 0x10000].as_slice(), b"\r\n"].concat();
        let mut flood = TcpStream::connect(server.address()).unwrap();
        flood.write_all(head.as_bytes()).unwrap();
        let stop = flood.try_clone().unwrap();
        let flooding = std::thread::spawn(move || while flood.write_all(&chunk).is_ok() {});
        // However many requests that takes: on a busy machine forty are answered before much has come.
        let mut served = 0;
        while served < 40 || server.metric("tidings_bytes_read_total") <= 8 << 20 {
            assert_served(server);
            served += 1;
            assert!(served < 10_000, "it is no flood");
        }
        stop.shutdown(Shutdown::Both).unwrap();
        flooding.join().unwrap();
        drop(stop);
        assert_nothing_is_left(server);
    });
}
