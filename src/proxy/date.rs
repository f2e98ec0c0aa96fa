//! `Date` of responses (RFC 9110 §6.6.1): written anew when the second changes.

use std::cell::RefCell;

use http::HeaderValue;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::clock::{self, Timestamp};

/// See the module.
#[derive(Debug)]
pub(super) struct Date(RefCell<(i64, HeaderValue)>);

impl Date {
    pub(super) fn new() -> Self {
        Self(RefCell::new(at(clock::wall())))
    }

    /// With each tick of the worker.
    pub(super) fn tick(&self) {
        let time = clock::wall();
        if self.0.borrow().0 != time.as_second() {
            self.0.replace(at(time));
        }
    }

    /// Of now.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.borrow().1.clone()
    }

    /// Appends it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.borrow().1.as_bytes());
    }
}

fn at(time: Timestamp) -> (i64, HeaderValue) {
    // Years that HTTP cannot write are none that a clock shows.
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default();
    (time.as_second(), HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_http_wants_it() {
        assert_eq!(at(Timestamp::from_second(784_111_777).unwrap()).1, "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
