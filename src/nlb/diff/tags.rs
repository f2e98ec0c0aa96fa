//! Tags: ours are set, those that we once set and no longer want are removed, all others are left alone.
//!
//! The tag `landfall/tag-keys` remembers which of the user's keys we set. `landfall/attributes` is `attributes.rs`'s.

use std::collections::BTreeSet;

use super::draft::Draft;
use crate::aws::types::Tags;
use crate::nlb::build::tags::{TAG_KEYS, recorded_keys};
use crate::nlb::model::Action;

/// Plans what makes an object with the tags `observed` bear `desired`.
///
/// Removal goes first: until it has happened, `landfall/tag-keys` must go on listing those keys.
pub(super) fn plan(draft: &mut Draft, desired: &Tags, observed: &Tags, tag: impl Fn(Tags, BTreeSet<String>) -> Action) {
    let remove = stale(desired, observed);
    let set: Tags = desired
        .iter()
        .filter(|(key, value)| observed.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let mut wave = 0;
    if !remove.is_empty() {
        draft.step(wave, tag(Tags::new(), remove), "no longer asked for");
        wave += 1;
    }
    if !set.is_empty() {
        draft.step(wave, tag(set, BTreeSet::new()), "missing or different");
    }
}

/// The keys that we set and that are not wanted any more.
fn stale(desired: &Tags, observed: &Tags) -> BTreeSet<String> {
    let Some(record) = observed.get(TAG_KEYS) else { return BTreeSet::new() };
    let listed = recorded_keys(record);
    let mut stale: BTreeSet<String> =
        listed.iter().filter(|key| observed.contains_key(*key) && !desired.contains_key(*key)).cloned().collect();
    // A record that is not kept any longer (too long for a tag) stays as long as it says something about what is there.
    if !desired.contains_key(TAG_KEYS) && !listed.iter().any(|key| desired.contains_key(key)) {
        stale.insert(TAG_KEYS.to_owned());
    }
    stale
}
