//! Identifiers of AWS's shapes, derived from the emulator's seed so that a run repeats.
//!
//! Imports nothing of the crate. Counted identifiers differ from call to call, named ones depend on the name alone.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A source of identifiers for one scope (an account in a region, or the server).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ids {
    scope: String,
    issued: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64, scope: &str) -> Self {
        Self { scope: format!("{seed}/{scope}"), issued: 0 }
    }

    /// The next `digits` hexadecimal digits (at most 64) that this scope has not given out before.
    pub(crate) fn next(&mut self, kind: &str, digits: usize) -> String {
        self.issued += 1;
        hex(&format!("{}/{kind}#{}", self.scope, self.issued), digits)
    }

    /// The `digits` hexadecimal digits that belong to `name` in this scope, the same at each call.
    pub(crate) fn named(&self, kind: &str, name: &str, digits: usize) -> String {
        hex(&format!("{}/{kind}:{name}", self.scope), digits)
    }

    /// The next EC2 identifier, for example `sg-0123456789abcdef0`.
    pub(crate) fn ec2(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{}", self.next(prefix, 16))
    }

    /// The next identifier shaped like a UUID, for request ids.
    pub(crate) fn uuid(&mut self) -> String {
        let digits = self.next("request", 32);
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
    }
}

/// The first `digits` hexadecimal digits of SHA-256 of `text`.
pub(crate) fn hex(text: &str, digits: usize) -> String {
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(out, "{byte:02x}");
    }
    out.truncate(digits);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_for_a_seed_and_differ_within_a_run() {
        let (mut one, mut two, mut other) = (Ids::new(1, "a/r"), Ids::new(1, "a/r"), Ids::new(2, "a/r"));
        let first = one.ec2("sg");
        assert_eq!(first, two.ec2("sg"));
        assert_eq!(first.len(), "sg-".len() + 17);
        assert_ne!(first, one.ec2("sg"));
        assert_ne!(first, other.ec2("sg"));
        assert_eq!(one.named("vpc", "x", 17), two.named("vpc", "x", 17));
        let lengths: Vec<usize> = one.uuid().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
