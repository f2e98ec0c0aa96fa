//! Buffers that flows have in common: a flow that carries nothing at the moment holds none.
//!
//! One stock for each thread, so that nothing is locked. Imports nothing.

use std::cell::RefCell;

/// A large read is what makes copying cheap. No datagram is larger.
pub(super) const SIZE: usize = 64 * 1024;

/// Buffers that a thread keeps for later: more than flows of one thread hold at a time, which is while a write waits.
const STOCK: usize = 32;

pub(super) type Buffer = Box<[u8]>;

thread_local! {
    static FREE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn take() -> Buffer {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

pub(super) fn give(buffer: Buffer) {
    FREE.with_borrow_mut(|free| {
        if free.len() < STOCK {
            free.push(buffer);
        }
    });
}
