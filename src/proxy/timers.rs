//! Deadlines to a tenth of a second: one list for a worker, looked through at each tick.
//!
//! A proxy sets far more deadlines than ever pass. Setting one here is a write to memory; none of them touches the
//! runtime's timers. Never early, at most two ticks late.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{self, Instant};

/// Time between two looks at the list.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// The deadlines of a worker.
#[derive(Debug)]
pub(super) struct Timers {
    now: Cell<Instant>,
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    entries: Vec<Entry>,
    free: Vec<usize>,
    due: Vec<Waker>,
}

#[derive(Debug, Default)]
struct Entry {
    deadline: Option<Instant>,
    waker: Option<Waker>,
}

/// One deadline; unset at first. Dropping it frees its place.
#[derive(Debug)]
pub(super) struct Timer {
    timers: Rc<Timers>,
    slot: usize,
}

impl Timers {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { now: Cell::new(clock::now()), slots: RefCell::default() })
    }

    /// The time of the last tick.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Wakes whose deadline has passed.
    pub(super) fn tick(&self) {
        let now = clock::now();
        self.now.set(now);
        self.wake(|entry| entry.deadline.is_some_and(|deadline| deadline <= now));
    }

    /// Wakes everybody, to let them look at what has changed.
    pub(super) fn wake_all(&self) {
        self.wake(|_| true);
    }

    fn wake(&self, which: impl Fn(&Entry) -> bool) {
        let mut slots = self.slots.borrow_mut();
        let Slots { entries, due, .. } = &mut *slots;
        due.extend(entries.iter_mut().filter(|entry| which(entry)).filter_map(|entry| entry.waker.take()));
        let mut due = std::mem::take(due);
        drop(slots);
        due.drain(..).for_each(Waker::wake);
        self.slots.borrow_mut().due = due;
    }

    /// A new deadline.
    pub(super) fn timer(self: &Rc<Self>) -> Timer {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.entries.push(Entry::default());
            slots.entries.len() - 1
        });
        Timer { timers: Rc::clone(self), slot }
    }

    /// The output of `future` if it has one within `limit`.
    pub(super) async fn within<F: Future>(self: &Rc<Self>, limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let timer = self.timer();
        timer.set_after(limit);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.poll(cx).map(|()| None),
        })
        .await
    }
}

impl Timer {
    /// The deadline that lies `limit` after now.
    pub(super) fn set_after(&self, limit: Duration) {
        self.set(self.timers.now() + TICK + limit);
    }

    pub(super) fn set(&self, deadline: Instant) {
        self.change(|entry| entry.deadline = Some(deadline));
    }

    /// Ready once the deadline has passed; else wakes at it.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut slots = self.timers.slots.borrow_mut();
        let Some(entry) = slots.entries.get_mut(self.slot) else { return Poll::Pending };
        if entry.deadline.is_some_and(|deadline| deadline <= self.timers.now()) {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.timers.slots.borrow_mut().entries.get_mut(self.slot) {
            change(entry);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut slots = self.timers.slots.borrow_mut();
        if let Some(entry) = slots.entries.get_mut(self.slot) {
            *entry = Entry::default();
            slots.free.push(self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ticking(timers: Rc<Timers>) {
        loop {
            tokio::time::sleep(TICK).await;
            timers.tick();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_never_early_and_two_ticks_late_at_most() {
        let timers = Timers::new();
        let start = clock::now();
        let waiting = timers.within(Duration::from_secs(2), std::future::pending::<()>());
        tokio::select! {
            out = waiting => assert!(out.is_none()),
            () = ticking(timers.clone()) => {}
        }
        let took = clock::now().saturating_duration_since(start);
        assert!((Duration::from_secs(2)..=Duration::from_millis(2200)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_is_not_cut_off_and_places_are_used_again() {
        let timers = Timers::new();
        for _ in 0..3 {
            assert_eq!(timers.within(Duration::ZERO, async { 1 }).await, Some(1));
        }
        assert_eq!(timers.slots.borrow().entries.len(), 1);
    }
}
