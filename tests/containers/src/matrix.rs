//! Which test ran on which back end, as a table.
//!
//! Plain data; imports nothing of the crate.

use std::collections::BTreeMap;
use std::fmt;

/// What became of a test on a back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// The back end cannot do what it needs, or is not there: what it lacks.
    Lacks(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => out.write_str("passed"),
            Self::Failed => out.write_str("FAILED"),
            Self::Lacks(what) => write!(out, "skipped: lacks {what}"),
        }
    }
}

/// Outcomes by test and back end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    backends: Vec<String>,
    outcomes: BTreeMap<(String, String), Outcome>,
}

impl Matrix {
    /// With a column for each of these back ends.
    #[must_use]
    pub fn new(backends: Vec<String>) -> Self {
        Self { backends, outcomes: BTreeMap::new() }
    }

    /// Remembers what became of a test.
    pub fn record(&mut self, test: &str, backend: &str, outcome: Outcome) {
        self.outcomes.insert((test.to_owned(), backend.to_owned()), outcome);
    }
}

impl fmt::Display for Matrix {
    /// A line for each test, in the order of their names; `-` where it was not asked for.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tests: Vec<&str> = self.outcomes.keys().map(|(test, _)| test.as_str()).collect();
        tests.dedup();
        let mut lines = vec![std::iter::once(String::new()).chain(self.backends.iter().cloned()).collect::<Vec<_>>()];
        for test in tests {
            let outcome = |backend: &String| {
                self.outcomes.get(&(test.to_owned(), backend.clone())).map_or_else(|| "-".to_owned(), Outcome::to_string)
            };
            lines.push(std::iter::once(test.to_owned()).chain(self.backends.iter().map(outcome)).collect());
        }
        let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..=self.backends.len()).map(width).collect();
        for line in &lines {
            let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_test() {
        let mut matrix = Matrix::new(vec!["inproc".to_owned(), "moto".to_owned()]);
        matrix.record("life", "inproc", Outcome::Passed);
        matrix.record("life", "moto", Outcome::Failed);
        matrix.record("faults", "inproc", Outcome::Passed);
        matrix.record("faults", "moto", Outcome::Lacks("faults".to_owned()));
        matrix.record("other", "inproc", Outcome::Passed);
        let table = "        inproc  moto\n\
                     faults  passed  skipped: lacks faults\n\
                     life    passed  FAILED\n\
                     other   passed  -\n";
        assert_eq!(matrix.to_string(), table);
    }
}
