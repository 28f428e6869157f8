//! A client of Redis in a few lines, which waits for each answer. It shares nothing with the server's.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// What Redis says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Error(String),
    Integer(i64),
    Nothing,
    List(Vec<Self>),
}

impl Value {
    /// A text, or nothing that is one.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Error(text) => text,
            _ => "",
        }
    }

    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            Self::Text(text) => text.parse().unwrap(),
            other => panic!("{other:?} is not a number"),
        }
    }
}

/// A connection.
pub struct Resp(BufReader<TcpStream>);

impl Resp {
    pub fn dial(host: Ipv4Addr, port: u16) -> Result<Self> {
        let address = SocketAddr::from((host, port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, words: &[&str]) -> Result<Value> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.get_mut().write_all(text.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "Redis has closed"));
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().map_err(|_| Error::other(format!("{rest:?}")));
        Ok(match kind {
            "+" => Value::Text(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Integer(number()?),
            "$" if rest == "-1" => Value::Nothing,
            "$" => {
                let mut bytes = vec![0; number()? as usize + 2];
                self.0.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Value::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" if rest == "-1" => Value::Nothing,
            "*" => Value::List((0..number()?).map(|_| self.answer()).collect::<Result<_>>()?),
            _ => return Err(Error::other(format!("{line:?}"))),
        })
    }
}
