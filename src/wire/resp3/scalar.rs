//! What fits on one line of RESP3, and lengths.

use super::{RespError, Value};

/// How long a string or an aggregate is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Length {
    /// This many. One that no `usize` holds is `usize::MAX`, which is above any bound.
    Known(usize),
    /// RESP2's `-1`: there is none.
    Null,
}

/// The length that a line says.
pub(super) fn parse_length(text: &[u8]) -> Result<Length, RespError> {
    match text {
        b"-1" => Ok(Length::Null),
        b"?" => Err(RespError::Streamed),
        _ if is_digits(text) => {
            let number = text.iter().fold(0_usize, |number, digit| {
                number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
            });
            Ok(Length::Known(number))
        }
        _ => Err(RespError::Length),
    }
}

/// The value of a line, if its type is one of those that have no more than a line.
pub(super) fn parse_scalar(kind: u8, text: &[u8]) -> Result<Option<Value>, RespError> {
    Ok(Some(match kind {
        b'+' => Value::Simple(text.to_vec()),
        b'-' => Value::Error(text.to_vec()),
        b':' => Value::Integer(parse_integer(text)?),
        b'_' if text.is_empty() => Value::Null,
        b'#' if text == b"t" => Value::Boolean(true),
        b'#' if text == b"f" => Value::Boolean(false),
        b'_' | b'#' => return Err(RespError::Scalar),
        b',' => Value::Double(parse_double(text)?),
        b'(' if is_digits(without_sign(text)) => Value::BigNumber(text.to_vec()),
        b'(' => return Err(RespError::Scalar),
        _ => return Ok(None),
    }))
}

fn parse_integer(text: &[u8]) -> Result<i64, RespError> {
    let text = std::str::from_utf8(text).map_err(|_| RespError::Scalar)?;
    text.parse().map_err(|_| RespError::Scalar)
}

fn parse_double(text: &[u8]) -> Result<f64, RespError> {
    match text {
        b"inf" => Ok(f64::INFINITY),
        b"-inf" => Ok(f64::NEG_INFINITY),
        // Redis before 7.2 writes what the C library does.
        b"nan" | b"-nan" => Ok(f64::NAN),
        // Rust reads more words than these.
        _ if !without_sign(text).first().is_some_and(u8::is_ascii_digit) => Err(RespError::Scalar),
        _ => {
            let text = std::str::from_utf8(text).map_err(|_| RespError::Scalar)?;
            text.parse().map_err(|_| RespError::Scalar)
        }
    }
}

fn without_sign(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text)
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
