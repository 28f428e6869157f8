//! The property of every codec: it does not matter where its input was cut.

use std::fmt::Debug;

/// Reads `input` whole, cut in two at every place, and byte by byte; gives what all of them made of it.
pub(crate) fn same_for_every_split<T: Debug + PartialEq>(
    input: &[u8],
    read: impl Fn(&[&[u8]]) -> T,
) -> T {
    let whole = read(&[input]);
    for at in 0..=input.len() {
        let (front, back) = input.split_at(at);
        assert_eq!(read(&[front, back]), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(read(&bytes), whole, "byte by byte");
    whole
}

/// The message of a panic.
pub(crate) fn panic_of(act: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    let payload = panic.expect_err("it panics");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("a panic has a message")).to_owned(),
    }
}
