//! Counts system calls.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::peers::Process;

/// A running strace.
pub struct Tracer {
    child: Child,
    summary: PathBuf,
}

/// Whose calls are counted.
pub enum Whose {
    /// Of all threads of the process.
    All,
    /// Of its threads whose names begin so.
    Threads(&'static str),
}

impl Tracer {
    /// Counts from when this returns. Why not, otherwise: strace is not there, or may not.
    pub fn attach(process: &Process, whose: &Whose, folder: &Path) -> Result<Self, String> {
        let id = process.id();
        let threads: Vec<String> = match whose {
            Whose::All => vec![id.to_string()],
            Whose::Threads(name) => process.threads(name),
        };
        assert!(!threads.is_empty(), "process {id} has no such threads");
        let summary = folder.join("strace.txt");
        let complaints = std::fs::File::create(folder.join("strace.log")).map_err(|problem| problem.to_string())?;
        let mut command = Command::new("strace");
        command.args(["-c", "-o"]).arg(&summary).stdin(Stdio::null()).stderr(complaints);
        if matches!(whose, Whose::All) {
            command.arg("-f");
        }
        for thread in &threads {
            command.args(["-p", thread]);
        }
        let mut child = command.spawn().map_err(|problem| format!("strace: {problem}"))?;
        let start = Instant::now();
        while !threads.iter().all(|thread| is_traced(id, thread)) {
            if child.try_wait().is_ok_and(|ended| ended.is_some()) || start.elapsed() > Duration::from_secs(10) {
                let _ = (child.kill(), child.wait());
                return Err(std::fs::read_to_string(folder.join("strace.log")).unwrap_or_default().trim().to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { child, summary })
    }

    /// Ends the process, and with it the count.
    pub fn end(mut self, process: Process) -> u64 {
        drop(process);
        self.child.wait().expect("strace ends with what it watches");
        let text = std::fs::read_to_string(&self.summary).expect("a summary");
        let total = text.lines().find(|line| line.trim_end().ends_with("total")).unwrap_or_else(|| panic!("strace said: {text}"));
        // % time, seconds, microseconds for each call, calls.
        total.split_whitespace().nth(3).and_then(|calls| calls.parse().ok()).expect("a number")
    }
}

fn is_traced(process: u32, thread: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}
