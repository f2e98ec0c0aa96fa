//! Buffers that one connection of a worker leaves behind and the next one takes.
//!
//! Idle connections hold none, and busy ones come and go many times a second. Large ones are worth keeping most: the system gives
//! and takes them page by page, which costs more than the copy of what is in them.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;

/// Kept at most.
const SPARE: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Buffers(RefCell<Vec<BytesMut>>);

impl Buffers {
    pub(super) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// An empty buffer with room for `size` bytes: the latest of which nothing is on its way any more, or a new one.
    pub(super) fn take(&self, size: usize) -> BytesMut {
        let mut spare = self.0.borrow_mut();
        match spare.iter_mut().rposition(|buffer| buffer.try_reclaim(size)) {
            Some(free) => spare.swap_remove(free),
            None => BytesMut::with_capacity(size),
        }
    }

    /// For others to take.
    pub(super) fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut spare = self.0.borrow_mut();
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    }

    /// Now and then: those that nobody has needed go one by one.
    pub(super) fn tick(&self) {
        let mut spare = self.0.borrow_mut();
        if !spare.is_empty() {
            // The one that was left longest ago.
            spare.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_taken_unless_it_is_still_in_use_and_goes_with_time() {
        let buffers = Buffers::new();
        let mut buffer = buffers.take(100);
        buffer.extend_from_slice(b"in use");
        let used = buffer.split().freeze();
        buffers.give(buffer);
        let address = used.as_ptr();
        let other = buffers.take(100);
        assert_eq!(&*used, b"in use", "nobody has written over it");
        drop(used);
        let again = buffers.take(100);
        assert_eq!(again.as_ptr(), address);
        for buffer in [other, again] {
            buffers.give(buffer);
        }
        for left in [1, 0, 0] {
            buffers.tick();
            assert_eq!(buffers.0.borrow().len(), left);
        }
        for _ in 0..2 * SPARE {
            buffers.give(BytesMut::with_capacity(1));
        }
        assert_eq!(buffers.0.borrow().len(), SPARE);
    }
}
