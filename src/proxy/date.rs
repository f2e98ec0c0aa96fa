//! Texts that tell the second: written anew when it changes, which is looked at with each tick of a worker.

use std::cell::RefCell;

use http::HeaderValue;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::clock::{self, Timestamp};

/// See the module.
#[derive(Debug)]
pub(super) struct EachSecond<T> {
    write: fn(Timestamp) -> T,
    now: RefCell<(i64, T)>,
}

/// `Date` of responses (RFC 9110 §6.6.1).
pub(super) type Date = EachSecond<HeaderValue>;

impl<T> EachSecond<T> {
    pub(super) fn new(write: fn(Timestamp) -> T) -> Self {
        let time = clock::wall();
        Self { write, now: RefCell::new((time.as_second(), write(time))) }
    }

    pub(super) fn tick(&self) {
        let time = clock::wall();
        if self.now.borrow().0 != time.as_second() {
            self.now.replace((time.as_second(), (self.write)(time)));
        }
    }

    /// Of now.
    pub(super) fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.now.borrow().1)
    }
}

/// As [`Date`] is written.
pub(super) fn http_date(time: Timestamp) -> HeaderValue {
    // Years that HTTP cannot write are none that a clock shows.
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default();
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_http_wants_it() {
        assert_eq!(http_date(Timestamp::from_second(784_111_777).unwrap()), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
