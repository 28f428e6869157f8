//! A server for tests that does what a script says: one closure a connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What to do with one connection; returns what the test wants to know about it.
pub(crate) type Step = Box<dyn FnOnce(TcpStream) -> String + Send>;

/// Serves each step one connection; returns the base URL and what the steps returned.
pub(crate) fn serve(steps: Vec<Step>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let serve_one = |step: Step| {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            step(stream)
        };
        steps.into_iter().map(serve_one).collect()
    });
    (url, serving)
}

/// Reads a request that says its length, answers with these bytes and closes; returns the request.
pub(crate) fn answer(bytes: impl AsRef<[u8]> + Send + 'static) -> Step {
    Box::new(move |mut stream| {
        let request = read_request(&mut stream);
        stream.write_all(bytes.as_ref()).unwrap();
        request
    })
}

/// Reads a head, and the body if there is a length.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let head = read_until(stream, "\r\n\r\n");
    let length = head
        .to_ascii_lowercase()
        .split("content-length: ")
        .nth(1)
        .map(|rest| rest.split("\r\n").next().unwrap_or_default().parse::<usize>().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// Reads up to and with `end`.
pub(crate) fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A whole answer with a length.
pub(crate) fn whole(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// An answer of one chunk; it ends properly only if `ends`.
pub(crate) fn chunked(content_type: &str, body: &str, ends: bool) -> String {
    let end = if ends { "0\r\n\r\n" } else { "" };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n{end}",
        body.len()
    )
}
