//! Tables in Markdown on stdout, and the goals that were missed.

use std::process::ExitCode;

/// What a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Default)]
pub struct Report {
    missed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Begins a table with these columns.
    pub fn table(&mut self, columns: &[&str]) {
        println!("\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
    }

    /// A row with one figure and its goal.
    pub fn figure(&mut self, what: &str, figure: f64, unit: &str, goal: Goal) {
        let (Goal::AtMost(limit) | Goal::AtLeast(limit)) = goal;
        let words = if matches!(goal, Goal::AtMost(_)) { "at most" } else { "at least" };
        println!("| {what} | **{} {unit}** | {words} {limit} {unit} |", short(figure));
        self.hold(what, figure, goal);
    }

    /// A row with what could not be measured.
    pub fn skip(&mut self, what: &str, why: &str) {
        println!("| {what} | skipped: {why} | |");
        self.skipped.push(format!("{what}: {why}"));
    }

    /// A row that compares us with another, and how many times as much ours is.
    pub fn comparison(&mut self, what: &str, ours: f64, other: f64, goal: Option<Goal>) {
        let ratio = ours / other;
        let words = match goal {
            None => String::new(),
            Some(Goal::AtLeast(least)) => format!("{least}"),
            Some(Goal::AtMost(most)) => format!("at most {most}"),
        };
        println!("| {what} | {} | {} | **{}** | {words} |", short(ours), short(other), short(ratio));
        if let Some(goal) = goal {
            self.hold(what, ratio, goal);
        }
    }

    fn hold(&mut self, what: &str, figure: f64, goal: Goal) {
        let kept = match goal {
            Goal::AtMost(limit) => figure <= limit,
            Goal::AtLeast(limit) => figure >= limit,
        };
        if !kept {
            self.missed.push(format!("{what}: {figure:.2}, wanted {goal:?}"));
        }
    }

    /// Says what was missed or skipped; the exit status.
    pub fn end(self) -> ExitCode {
        for what in &self.skipped {
            eprintln!("SKIPPED: {what}");
        }
        for what in &self.missed {
            eprintln!("missed: {what}");
        }
        if self.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Three digits that count.
fn short(figure: f64) -> String {
    match figure {
        _ if figure >= 100.0 => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
