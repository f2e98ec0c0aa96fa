//! Fuzzing of every parser of ours, on the stable toolchain: each target is a function of bytes with properties that have to
//! hold whatever the bytes are.
//!
//! `cargo test` runs each a bounded number of times, always the same; `make fuzz TARGET=http1 RUNS=1000000` goes further. Inputs
//! are the seeds (those of the target, and the files of `fuzz/corpus/TARGET`) as they are, and then changed a few times: cut,
//! spliced, repeated, with words that matter to the parser put in. An input that fails is reduced, and saved among the files of
//! the corpus: it is tried first from then on. [`exchange`](super::exchange) has the target of the forwarded headers, which needs
//! to see its inside.

mod http1;

mod proxy_protocol;

mod routes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// Inputs of each target in `cargo test`.
const RUNS: u32 = 20_000;

/// Of each input.
const CHANGES: usize = 6;

/// A longest input: more only makes it slow.
const LONGEST: usize = 16 * 1024;

/// What became of an input, for the statistics; or what did not hold.
pub(super) type Verdict = Result<&'static str, TestCaseError>;

/// A function to fuzz.
pub(super) struct Target {
    /// Of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Each is reached, or the fuzzing is blind.
    pub verdicts: &'static [&'static str],
    /// What inputs are made from, besides the files.
    pub seeds: Vec<Vec<u8>>,
    /// Words that matter.
    pub words: &'static [&'static [u8]],
    pub run: fn(&[u8]) -> Verdict,
}

/// Bytes that matter to anybody.
const BYTES: [&[u8]; 14] =
    [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b"/", b"0", b"9", b"\x7f", b"\xff"];

/// One change of an input. Places are shares of its length.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, &'static [u8]),
    Replace(Index, &'static [u8]),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Cut(Index),
    /// What follows is another seed from a place of it on.
    Splice(Index, Vec<u8>, Index),
    Case(Index),
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        let place = |at: Index| at.index(bytes.len() + 1);
        match self {
            Self::Flip(at, bits) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Insert(at, word) => {
                let at = place(at);
                bytes.splice(at..at, word.iter().copied());
            }
            Self::Replace(at, word) => {
                let at = place(at);
                bytes.splice(at..(at + word.len()).min(bytes.len()), word.iter().copied());
            }
            Self::Remove(at, length) => {
                let at = place(at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Repeat(at, length, times) => {
                let at = place(at);
                let piece = bytes[at..(at + length).min(bytes.len())].repeat(times);
                bytes.splice(at..at, piece);
            }
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Splice(at, other, from) => {
                bytes.truncate(place(at));
                bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Self::Case(at) => {
                let at = place(at);
                for byte in bytes.iter_mut().skip(at).take(8) {
                    *byte = if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
                }
            }
        }
        bytes.truncate(LONGEST);
    }
}

fn change(seeds: Vec<Vec<u8>>, words: Vec<&'static [u8]>) -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let few = || prop_oneof![4 => 1..4_usize, 1 => 1..200_usize];
    prop_oneof![
        1 => (at(), 1..=u8::MAX).prop_map(|(at, bits)| Change::Flip(at, bits)),
        3 => (at(), select(words.clone())).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (at(), select(words)).prop_map(|(at, word)| Change::Replace(at, word)),
        1 => (at(), few()).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (at(), few(), prop_oneof![9 => 1..3_usize, 1 => 1..100_usize])
            .prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), select(seeds), at()).prop_map(|(at, other, from)| Change::Splice(at, other, from)),
        1 => at().prop_map(Change::Case),
    ]
}

fn inputs(seeds: &[Vec<u8>], words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = words.iter().copied().chain(BYTES).collect();
    let changes = proptest::collection::vec(change(seeds.to_vec(), words), 0..=CHANGES);
    (select(seeds.to_vec()), changes).prop_map(|(mut bytes, changes)| {
        changes.into_iter().for_each(|change| change.apply(&mut bytes));
        bytes
    })
}

/// Runs a target as often as it is to be run, and prints what became of its inputs.
///
/// # Panics
/// A property does not hold.
pub(super) fn fuzz(target: Target) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
    let mut seeds = target.seeds;
    seeds.extend(files(&folder));
    let mut counts: BTreeMap<&str, u64> = target.verdicts.iter().map(|verdict| (*verdict, 0)).collect();
    let mut count = |verdict| *counts.entry(verdict).or_default() += 1;
    for seed in &seeds {
        match (target.run)(seed) {
            Ok(verdict) => count(verdict),
            Err(error) => panic!("{}: a seed: {error}\nb\"{}\"", target.name, seed.escape_ascii()),
        }
    }
    let runs = option("LANDFALL_FUZZ_RUNS").unwrap_or(RUNS.into());
    let seed = option("LANDFALL_FUZZ_SEED").unwrap_or(1);
    let mut runner = TestRunner::new(Config {
        cases: u32::try_from(runs).unwrap_or(u32::MAX),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    });
    let counted = std::cell::RefCell::new(count);
    let outcome =
        runner.run(&inputs(&seeds, target.words), |bytes| (target.run)(&bytes).map(|verdict| (counted.borrow_mut())(verdict)));
    if let Err(TestError::Fail(reason, bytes)) = outcome {
        let saved = save(&folder, &bytes);
        panic!("{}: {reason}\nb\"{}\"\nsaved as {saved}: to be committed with the mend", target.name, bytes.escape_ascii());
    }
    println!("fuzz {}: {} seeds, {runs} inputs, seed {seed}: {counts:?}", target.name, seeds.len());
    let missed: Vec<_> = target.verdicts.iter().filter(|verdict| counts[*verdict] == 0).collect();
    assert!(missed.is_empty(), "{}: no input was {missed:?}", target.name);
}

fn files(folder: &PathBuf) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Its path, or why it could not be saved.
fn save(folder: &PathBuf, bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let path = folder.join(format!("found-{hash:016x}"));
    match std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes)) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("nothing ({error})"),
    }
}

/// A number of the environment, which `make fuzz` sets.
#[allow(clippy::disallowed_methods, reason = "no setting of the program's")]
fn option(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: give a whole number")))
}

/// `bytes` in pieces, cut at places that only depend on them.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let seed = bytes.iter().fold(bytes.len() as u64, |hash, byte| hash.rotate_left(5) ^ u64::from(*byte));
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while !rest.is_empty() {
        let longest = if random.bool() { 4 } else { 4096 };
        let (piece, after) = rest.split_at(random.usize(1..=longest.min(rest.len())));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
