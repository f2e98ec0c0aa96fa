//! What the kernel says of this process.

use super::to_f64;

/// This process at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Seconds of processor time, of all threads, user and system.
    pub cpu_seconds: f64,
    /// Bytes of memory in use.
    pub resident_bytes: f64,
    /// Bytes of address space.
    pub virtual_bytes: f64,
    /// When it started, in seconds since 1970.
    pub start_seconds: f64,
    /// Bytes that were fetched from disks; none where the kernel does not tell.
    pub read_bytes: Option<f64>,
    /// Bytes that were sent to disks.
    pub written_bytes: Option<f64>,
}

impl Process {
    /// As it is now; none where `/proc` is not readable.
    #[must_use]
    pub fn read() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let stat = process.stat().ok()?;
        // A process with more rights than its user, such as one that may listen on port 80, may not look at its own traffic.
        let io = process.io().ok();
        let ticks = to_f64(procfs::ticks_per_second());
        Some(Self {
            cpu_seconds: to_f64(stat.utime + stat.stime) / ticks,
            resident_bytes: to_f64(stat.rss * procfs::page_size()),
            virtual_bytes: to_f64(stat.vsize),
            start_seconds: to_f64(procfs::boot_time_secs().ok()?) + to_f64(stat.starttime) / ticks,
            read_bytes: io.map(|io| to_f64(io.read_bytes)),
            written_bytes: io.map(|io| to_f64(io.write_bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_started_and_uses_memory() {
        let process = Process::read().unwrap();
        let now = crate::clock::wall().as_duration().as_secs_f64();
        assert!((0.0..3600.0).contains(&(now - process.start_seconds)), "{process:?}");
        assert!(process.resident_bytes > 1e6 && process.virtual_bytes >= process.resident_bytes, "{process:?}");
        // The kernel's clock has steps of 10 ms, and asking takes some microseconds.
        assert!((0..1_000_000).any(|_| Process::read().unwrap().cpu_seconds > 0.0));
    }
}
