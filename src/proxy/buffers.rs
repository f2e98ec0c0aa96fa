//! Buffers that one connection of a worker leaves behind and the next one takes.
//!
//! Idle connections hold none, and busy ones come and go many times a second. Large ones are worth keeping most: the system gives
//! and takes them page by page, which costs more than the copy of what is in them.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::BytesMut;

/// Kept at most.
const SPARE: usize = 64;

/// Bytes of a head's room that is worth keeping.
const ROOM: usize = 16 * 1024;

/// Bytes asked for at first; more while they come, as many as fit.
const READ_AT_FIRST: usize = 8 * 1024;

/// Bytes asked for at most.
const READ_AT_MOST: usize = 256 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// To read into.
    spare: RefCell<Vec<BytesMut>>,
    /// To write heads into.
    rooms: RefCell<Vec<Vec<u8>>>,
}

/// How much a connection reads at once.
#[derive(Debug)]
pub(super) struct Appetite {
    wanted: usize,
    /// The last read brought less than half of that.
    shrinking: bool,
}

impl Appetite {
    pub(super) fn new() -> Self {
        Self { wanted: READ_AT_FIRST, shrinking: false }
    }

    /// Bytes to ask for.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// So many came.
    pub(super) fn fed(&mut self, count: usize) {
        if count >= self.wanted {
            self.wanted = (self.wanted * 2).min(READ_AT_MOST);
            self.shrinking = false;
        } else if count < self.wanted / 2 {
            // Twice in a row: the end of a large body is small, and says nothing of the next one.
            if std::mem::replace(&mut self.shrinking, true) {
                self.wanted = (self.wanted / 2).max(READ_AT_FIRST);
                self.shrinking = false;
            }
        } else {
            self.shrinking = false;
        }
    }
}

impl Buffers {
    pub(super) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// An empty buffer with room for `size` bytes: the latest of which nothing is on its way any more, or a new one.
    pub(super) fn take(&self, size: usize) -> BytesMut {
        let mut spare = self.spare.borrow_mut();
        match spare.iter_mut().rposition(|buffer| buffer.try_reclaim(size)) {
            Some(free) => spare.swap_remove(free),
            None => BytesMut::with_capacity(size),
        }
    }

    /// For others to take.
    pub(super) fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    }

    /// Room for a head.
    pub(super) fn room(&self) -> Vec<u8> {
        self.rooms.borrow_mut().pop().unwrap_or_default()
    }

    /// For others to take.
    pub(super) fn give_room(&self, mut room: Vec<u8>) {
        room.clear();
        let mut rooms = self.rooms.borrow_mut();
        if rooms.len() < SPARE && room.capacity() <= ROOM {
            rooms.push(room);
        }
    }

    /// Now and then: those that nobody has needed go one by one.
    pub(super) fn tick(&self) {
        let mut spare = self.spare.borrow_mut();
        if !spare.is_empty() {
            // The one that was left longest ago.
            spare.remove(0);
        }
        self.rooms.borrow_mut().pop();
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
            assert_eq!(buffers.spare.borrow().len(), left);
        }
        for _ in 0..2 * SPARE {
            buffers.give(BytesMut::with_capacity(1));
        }
        assert_eq!(buffers.spare.borrow().len(), SPARE);
    }
}
