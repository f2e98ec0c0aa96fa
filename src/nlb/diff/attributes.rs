//! Attributes of load balancers and target groups: those that the user asks for, and AWS's default for those that he no
//! longer asks for.
//!
//! The tag `landfall/attributes` spares reading them: it bears the fingerprint of what we set, and is written last. Before
//! and while we set them it says [`PENDING`], so that after a crash in between the next run knows that it must read: an old
//! fingerprint would lie to a user who takes his change back.

use std::collections::BTreeSet;

use super::draft::Draft;
use crate::aws::types::{Attributes, Tags};
use crate::nlb::build::attributes::attributes_fingerprint;
use crate::nlb::build::tags::ATTRIBUTES;
use crate::nlb::model::Action;

/// Value of the tag while nobody can know whether the attributes are set.
const PENDING: &str = "pending";

/// Attributes of an object that exists.
pub(super) struct Subject<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// What the user asks for.
    pub(super) desired: &'a Attributes,
    /// What it has, when that was read.
    pub(super) observed: Option<&'a Attributes>,
    /// Its tags.
    pub(super) tags: &'a Tags,
}

/// The tags that an object is created with.
pub(super) fn creation_tags(tags: &Tags, attributes: &Attributes) -> Tags {
    let mut tags = tags.clone();
    if !attributes.is_empty() {
        tags.insert(ATTRIBUTES.to_owned(), PENDING.to_owned());
    }
    tags
}

/// Sets the attributes of an object that exists from `wave` on. Returns the wave from which on they are in force.
pub(super) fn plan_new(
    draft: &mut Draft,
    wave: u8,
    desired: &Attributes,
    modify: impl FnOnce(Attributes) -> Action,
    tag: impl Fn(Tags, BTreeSet<String>) -> Action,
) -> u8 {
    if desired.is_empty() {
        return wave;
    }
    draft.step(wave, modify(desired.clone()), "asked for");
    draft.step(wave + 1, mark(tag, &attributes_fingerprint(desired)), "attributes are set");
    wave + 1
}

/// Brings the attributes of an object in line, and its mark with them.
pub(super) fn plan(
    draft: &mut Draft,
    subject: &Subject<'_>,
    default: impl Fn(&str) -> Option<&'static str>,
    modify: impl FnOnce(Attributes) -> Action,
    tag: impl Fn(Tags, BTreeSet<String>) -> Action,
) {
    let fingerprint = attributes_fingerprint(subject.desired);
    let observed_mark = subject.tags.get(ATTRIBUTES);
    let settled = observed_mark.map_or(subject.desired.is_empty(), |mark| *mark == fingerprint);
    let (set, reason) = match subject.observed {
        None if settled => return,
        None if observed_mark.is_some() => return draft.read_attributes(subject.name),
        None => (subject.desired.clone(), "asked for".to_owned()),
        Some(observed) => {
            let set = differing(subject.desired, observed, observed_mark.is_some() && !settled, default);
            let former = set.keys().map(|key| format!("{key} is {}", value_of(observed, key)));
            let reason = former.collect::<Vec<_>>().join(", ");
            (set, reason)
        }
    };
    let mut wave = 0;
    if !set.is_empty() {
        if !settled && observed_mark.is_none_or(|mark| mark != PENDING) {
            draft.step(wave, mark(&tag, PENDING), "attributes are about to change");
            wave += 1;
        }
        draft.step(wave, modify(set), reason);
        wave += 1;
    }
    if !settled && subject.desired.is_empty() {
        draft.step(wave, tag(Tags::new(), BTreeSet::from([ATTRIBUTES.to_owned()])), "attributes have their defaults");
    } else if !settled {
        draft.step(wave, mark(tag, &fingerprint), "attributes are set");
    }
}

fn mark(tag: impl Fn(Tags, BTreeSet<String>) -> Action, value: &str) -> Action {
    tag(Tags::from([(ATTRIBUTES.to_owned(), value.to_owned())]), BTreeSet::new())
}

/// What to set. With `reset`, whatever the user does not ask for and differs from AWS's default may be our own doing. An
/// empty default is none: AWS refuses empty values, and bucket and prefix mean nothing once the access logs are off.
fn differing(
    desired: &Attributes,
    observed: &Attributes,
    reset: bool,
    default: impl Fn(&str) -> Option<&'static str>,
) -> Attributes {
    let mut set: Attributes = desired
        .iter()
        .filter(|(key, value)| value_of(observed, key) != value.as_str())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if reset {
        for (key, value) in observed.iter().filter(|(key, _)| !desired.contains_key(*key)) {
            if let Some(default) = default(key).filter(|default| !default.is_empty() && default != value) {
                set.insert(key.clone(), default.to_owned());
            }
        }
    }
    set
}

/// AWS may leave out attributes that are empty.
fn value_of<'a>(attributes: &'a Attributes, key: &str) -> &'a str {
    attributes.get(key).map_or("", String::as_str)
}
