//! The figures as a Markdown table, each beside its limit and the peer's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use landfall_localstack::{Entry, Outcome};

/// AWS calls, as the journal has them.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    all: usize,
    writes: usize,
}

impl Calls {
    /// Counts them, and shows on standard error what they were.
    pub fn count(entries: &[Entry]) -> Self {
        let mut by_action: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            let result = match &entry.result {
                Outcome::Error { code, .. } => format!(" -> {code}"),
                Outcome::Ok => String::new(),
                Outcome::Dropped => " -> dropped".to_owned(),
            };
            *by_action.entry(format!("{}{result}", entry.action)).or_default() += 1;
        }
        let shown: Vec<String> = by_action.iter().map(|(action, count)| format!("{count} {action}")).collect();
        eprintln!("  {}", if shown.is_empty() { "no call".to_owned() } else { shown.join(", ") });
        Self { all: entries.len(), writes: entries.iter().filter(|entry| entry.write).count() }
    }
}

/// Seconds, with their limit and the peer's.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub measured: f64,
    pub limit: Option<f64>,
    pub peer: &'static str,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    calls: Option<Calls>,
    limit: Option<usize>,
    peer: &'static str,
    no_write: bool,
    time: Option<Figure>,
}

impl Row {
    pub fn new(what: &str, calls: Calls) -> Self {
        eprintln!("^ {what}: {} calls, {} of them writes", calls.all, calls.writes);
        Self { calls: Some(calls), ..Self::timed(what) }
    }

    /// One that is about time only.
    pub fn timed(what: &str) -> Self {
        Self { what: what.to_owned(), calls: None, limit: None, peer: "", no_write: false, time: None }
    }

    pub fn limits(self, calls: usize, peer: &'static str) -> Self {
        Self { limit: Some(calls), peer, ..self }
    }

    pub fn without_writes(self) -> Self {
        Self { no_write: true, ..self }
    }

    pub fn within(self, time: Figure) -> Self {
        eprintln!("^ {}: {:.2} s", self.what, time.measured);
        Self { time: Some(time), ..self }
    }
}

/// Resident memory of the process in MB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub empty: f64,
    pub full: f64,
    pub services: usize,
}

impl Memory {
    /// What, measured, limit, peer.
    fn lines(&self) -> [(String, f64, f64, &'static str); 2] {
        [("no Service".to_owned(), self.empty, 20.0, "57"), (format!("{} Services", self.services), self.full, 30.0, "75")]
    }
}

/// Markdown.
pub fn render(rows: &[Row], memory: &Memory) -> String {
    let mut text = String::from(
        "| | AWS calls (writes) | limit | peer | seconds, with 100 ms added to every AWS call | limit | peer |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let calls = row.calls.map(|calls| format!("**{} ({})**", calls.all, calls.writes)).unwrap_or_default();
        let limit = row.limit.map(|limit| format!("{limit}{}", if row.no_write { ", no write" } else { "" })).unwrap_or_default();
        let seconds = row.time.map(|time| format!("**{:.2}**", time.measured)).unwrap_or_default();
        let longest = row.time.and_then(|time| time.limit).map(|limit| format!("{limit}")).unwrap_or_default();
        let slower = row.time.map(|time| time.peer).unwrap_or_default();
        let _ = writeln!(text, "| {} | {calls} | {limit} | {} | {seconds} | {longest} | {slower} |", row.what, row.peer);
    }
    text.push_str("\n| resident memory | MB | limit | peer |\n|---|---|---|---|\n");
    for (what, measured, limit, peer) in memory.lines() {
        let _ = writeln!(text, "| {what} | **{measured:.1}** | {limit} | {peer} |");
    }
    text
}

/// What is beyond its limit, in words.
pub fn missed(rows: &[Row], memory: &Memory) -> Vec<String> {
    let mut missed = Vec::new();
    for row in rows {
        if let (Some(calls), Some(limit)) = (row.calls, row.limit) {
            if calls.all > limit {
                missed.push(format!("{}: {} calls, {limit} allowed", row.what, calls.all));
            }
            if row.no_write && calls.writes > 0 {
                missed.push(format!("{}: {} writes, none allowed", row.what, calls.writes));
            }
        }
        if let Some(Figure { measured, limit: Some(limit), .. }) = row.time
            && measured > limit
        {
            missed.push(format!("{}: {measured:.2} s, {limit} s allowed", row.what));
        }
    }
    for (what, measured, limit, _) in memory.lines() {
        if measured > limit {
            missed.push(format!("resident memory, {what}: {measured:.1} MB, {limit} MB allowed"));
        }
    }
    missed
}
