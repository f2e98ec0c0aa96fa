//! A plan under construction: every part of `diff` adds to it.

use std::collections::BTreeSet;

use crate::nlb::model::{Action, Plan, Problem, Step, Subject, Wait};

/// Collects steps in any order of waves.
#[derive(Default)]
pub(super) struct Draft {
    steps: Vec<Step>,
    waits: BTreeSet<Wait>,
    conflicts: Vec<Problem>,
    needs_attributes: BTreeSet<String>,
}

impl Draft {
    /// Adds a write.
    pub(super) fn step(&mut self, wave: u8, action: Action, reason: impl Into<String>) {
        self.steps.push(Step { wave, action, reason: reason.into() });
    }

    /// Adds something to wait for.
    pub(super) fn wait(&mut self, wait: Wait) {
        self.waits.insert(wait);
    }

    /// Adds something that the user must settle.
    pub(super) fn conflict(&mut self, problem: Problem) {
        self.conflicts.push(problem);
    }

    /// Asks for the attributes of the load balancer or target group of this name.
    pub(super) fn read_attributes(&mut self, name: &str) {
        self.needs_attributes.insert(name.to_owned());
    }

    /// The last wave with a step that `matches`.
    pub(super) fn wave_of(&self, matches: impl Fn(&Action) -> bool) -> Option<u8> {
        self.steps.iter().filter(|step| matches(&step.action)).map(|step| step.wave).max()
    }

    /// The plan: by wave, and within a wave as found.
    pub(super) fn finish(mut self, subject: Subject) -> Plan {
        self.steps.sort_by_key(|step| step.wave);
        Plan { subject, steps: self.steps, waits: self.waits, conflicts: self.conflicts, needs_attributes: self.needs_attributes }
    }
}
