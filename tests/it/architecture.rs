//! The rules of DESIGN.md §1 that a compiler does not check: purity, who may name the AWS SDK, imports that run downwards,
//! file sizes and names. Reads the sources as text; comments do not count.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

/// Files and folders (with their `name.rs`) that compute and do nothing else. Their tests may do more.
const PURE: &[&str] = &[
    "error.rs",
    "aws/types.rs",
    "kubernetes/lease.rs",
    "nlb/model.rs",
    "nlb/model/",
    "nlb/build.rs",
    "nlb/build/",
    "nlb/diff.rs",
    "nlb/diff/",
    "routes.rs",
    "routes/",
];

/// What a pure module does not name: clients, runtime, clock, environment, files, network. A point in time that is handed
/// in (`crate::clock::Instant`) is a value like any other; reading the clock is not.
const IMPURE: &[&str] = &[
    "kube::",
    "aws_sdk",
    "aws_config",
    "tokio",
    "async fn",
    "SystemTime",
    "Instant::now",
    "clock::now",
    "clock::wall",
    "clock::{",
    "clock::*",
    "std::env",
    "std::fs",
    "std::net::Tcp",
];

/// What only `aws` names.
const SDK: &[&str] = &["aws_sdk_", "aws_config", "aws_smithy"];

/// Longest file, tests included.
const LINES: usize = 500;

/// Finds where a rule is broken, as `file:line: rule`.
type Rule = fn(&[Source]) -> Vec<String>;

/// One trial for each rule, and one that shows that the rules can be broken.
pub(crate) fn trials() -> Vec<Trial> {
    let rules: [(&str, Rule); 5] = [
        ("pure_modules_name_nothing_impure", purity),
        ("only_aws_names_the_sdk", sdk),
        ("imports_run_downwards", imports),
        ("files_are_short", lengths),
        ("modules_are_name_rs", names),
    ];
    let mut trials: Vec<Trial> =
        rules.into_iter().map(|(name, rule)| Trial::test(format!("architecture::{name}"), move || check(rule))).collect();
    trials.push(Trial::test("architecture::broken_rules_are_found", broken_rules_are_found));
    trials
}

/// Runs all rules on sources that break them, so that a scanner gone blind does not pass for a clean tree.
fn broken_rules_are_found() -> Result<(), Failed> {
    let lib = Source::new("lib.rs".to_owned(), "pub mod aws;\npub mod kubernetes;\npub mod nlb;\n");
    for (path, text, rule, expected) in [
        ("nlb/diff.rs", "fn f() {\n    tokio::spawn(g());\n}", purity as Rule, "src/nlb/diff.rs:2: names `tokio`"),
        ("nlb/build/x.rs", "pub async fn f() {}", purity, "src/nlb/build/x.rs:1: names `async fn`"),
        ("nlb/model.rs", "use crate::clock::{Instant, now};", purity, "src/nlb/model.rs:1: names `clock::{`"),
        ("nlb/x.rs", "use aws_sdk_ec2::Client;", sdk, "src/nlb/x.rs:1: names `aws_sdk_`"),
        ("aws/x.rs", "use crate::{aws::A, nlb::{B, C}};", imports, "src/aws/x.rs:1: `aws` uses `nlb`"),
        ("aws/x.rs", "fn f() { crate::kubernetes::g() }", imports, "src/aws/x.rs:1: `aws` uses `kubernetes`"),
        ("new.rs", "", imports, "src/new.rs:1: its module is not listed"),
        ("nlb/x.rs", &"\n".repeat(LINES + 1), lengths, "src/nlb/x.rs:500: has 501 lines"),
        ("nlb/mod.rs", "", names, "src/nlb/mod.rs:1: use `name.rs`"),
    ] {
        let sources = [Source::new(lib.path.clone(), &lib.code.join("\n")), Source::new(path.to_owned(), text)];
        let broken = rule(&sources);
        if !broken.iter().any(|message| message.starts_with(expected)) {
            return Err(format!("{path}: expected {expected:?} among {broken:?}").into());
        }
    }
    for (path, text, rule) in [
        ("nlb/diff.rs", "// tokio, kube::Client\nlet x = \"//\"; // std::fs\n", purity as Rule),
        ("nlb/diff.rs", "use crate::kubernetes::lease;\nuse crate::clock::Instant;\n", purity),
        ("nlb/diff.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n", purity),
        ("nlb/x.rs", "use crate::{aws::A, kubernetes};\n/// [`crate::cli`]\n", imports),
    ] {
        let sources = [Source::new(lib.path.clone(), &lib.code.join("\n")), Source::new(path.to_owned(), text)];
        if let Some(message) = rule(&sources).into_iter().find(|message| message.starts_with(&format!("src/{path}"))) {
            return Err(format!("{text:?} is fine, but: {message}").into());
        }
    }
    Ok(())
}

fn check(rule: Rule) -> Result<(), Failed> {
    let sources = sources().map_err(|error| format!("cannot read the sources: {error}"))?;
    match rule(&sources) {
        broken if broken.is_empty() => Ok(()),
        broken => Err(broken.join("\n").into()),
    }
}

/// One file of `src/`.
struct Source {
    /// Path below `src/`.
    path: String,
    /// Its lines without comments.
    code: Vec<String>,
    /// The line (from 0) from which on there are tests only.
    tests_from: usize,
}

impl Source {
    fn new(path: String, text: &str) -> Self {
        let code: Vec<String> = text.lines().map(without_comment).collect();
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/") || path.ends_with("/fixtures.rs");
        let inline = code.windows(2).position(|pair| {
            pair.first().is_some_and(|line| line.trim() == "#[cfg(test)]")
                && pair.last().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        });
        let tests_from = if is_test { 0 } else { inline.unwrap_or(code.len()) };
        Self { path, code, tests_from }
    }

    /// The top-level module that the file belongs to; `main` and `lib` for the crate roots.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// Places where one of `words` stands by itself, up to line `until`.
    fn mentions<'a>(&'a self, words: &'a [&str], until: usize) -> impl Iterator<Item = (String, &'a str)> {
        self.code.iter().take(until).enumerate().flat_map(move |(index, line)| {
            let found = words.iter().filter(|word| mentions(line, word));
            found.map(move |word| (format!("src/{}:{}", self.path, index + 1), *word))
        })
    }
}

/// The line up to `//`, unless that is within a string.
fn without_comment(line: &str) -> String {
    let mut quoted = false;
    let mut previous = ' ';
    for (index, character) in line.char_indices() {
        match character {
            '"' if previous != '\\' && previous != '\'' => quoted = !quoted,
            '/' if previous == '/' && !quoted => return line.get(..index - 1).unwrap_or_default().trim_end().to_owned(),
            _ => {}
        }
        previous = character;
    }
    line.to_owned()
}

/// Whether `word` occurs in the line and is not the end of a longer name; a word that ends in a letter is a whole one,
/// except for a crate's prefix such as `aws_sdk`.
fn mentions(line: &str, word: &str) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|after| after.chars().next());
        let prefix = word.contains("::") || word.starts_with("aws_");
        !before.is_some_and(is_name) && (prefix || !after.is_some_and(is_name))
    })
}

fn sources() -> std::io::Result<Vec<Source>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths)?;
    paths.sort();
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
        Ok(Source::new(below, &fs::read_to_string(&path)?))
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn purity(sources: &[Source]) -> Vec<String> {
    let is_pure = |path: &str| PURE.iter().any(|pure| path == *pure || (pure.ends_with('/') && path.starts_with(pure)));
    let mut broken: Vec<String> = PURE
        .iter()
        .filter(|pure| !sources.iter().any(|source| source.path == **pure || source.path.starts_with(**pure)))
        .map(|pure| format!("src/{pure}:1: is said to be pure, and is not there: correct the table PURE"))
        .collect();
    for source in sources.iter().filter(|source| is_pure(&source.path)) {
        for (place, word) in source.mentions(IMPURE, source.tests_from) {
            broken.push(format!("{place}: names `{word}` in a pure module"));
        }
    }
    broken
}

fn sdk(sources: &[Source]) -> Vec<String> {
    let others = sources.iter().filter(|source| source.module() != "aws");
    others
        .flat_map(|source| source.mentions(SDK, source.code.len()))
        .map(|(place, word)| format!("{place}: names `{word}`, which only src/aws.rs and src/aws/ may"))
        .collect()
}

/// The order of `pub mod` in `lib.rs` is the order of dependency: a module uses itself and those before it. Tests are free.
fn imports(sources: &[Source]) -> Vec<String> {
    let Some(lib) = sources.iter().find(|source| source.path == "lib.rs") else {
        return vec!["src/lib.rs:1: is missing".to_owned()];
    };
    let order: Vec<&str> = lib.code.iter().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let rank = |module: &str| order.iter().position(|known| *known == module);
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| !matches!(source.module(), "lib" | "main")) {
        let Some(own) = rank(source.module()) else {
            broken.push(format!("src/{}:1: its module is not listed in src/lib.rs", source.path));
            continue;
        };
        for (line, used) in uses(source) {
            if rank(&used).is_some_and(|used| used > own) {
                let own = source.module();
                broken.push(format!("src/{}:{line}: `{own}` uses `{used}`, which comes after it in src/lib.rs", source.path));
            }
        }
    }
    broken
}

/// Top-level modules that the code before the tests names, with lines: `crate::a::b`, `crate::{a::b, c}`.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let text = source.code.iter().take(source.tests_from).cloned().collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, prefix) in text.match_indices("crate::") {
        let line = text.get(..at).map_or(0, |before| before.matches('\n').count()) + 1;
        let rest = text.get(at + prefix.len()..).unwrap_or_default();
        found.extend(heads(rest).into_iter().map(|head| (line, head)));
    }
    found
}

/// The first names of a path, or of all paths of a group in braces.
fn heads(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut heads = Vec::new();
    let (mut depth, mut item) = (0_usize, String::new());
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(std::mem::take(&mut item)),
            _ => {}
        }
        if depth == 0 && character != ',' {
            item.push(character);
        }
    }
    heads.push(item);
    heads.iter().map(|item| name(item.trim())).filter(|head| !head.is_empty()).collect()
}

fn lengths(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.code.len() > LINES);
    long.map(|source| format!("src/{}:{LINES}: has {} lines, split it", source.path, source.code.len())).collect()
}

fn names(sources: &[Source]) -> Vec<String> {
    let folders = sources.iter().filter(|source| source.path == "mod.rs" || source.path.ends_with("/mod.rs"));
    folders.map(|source| format!("src/{}:1: use `name.rs` beside the folder `name/`", source.path)).collect()
}
