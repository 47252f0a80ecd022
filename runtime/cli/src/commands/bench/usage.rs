//! What a process has used, as the system counts it.

use std::{ops::Sub, time::Duration};

/// What a process has used since it began, or between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on all cores together, in user code and in the system. Counted in steps of a hundredth of a second.
    pub(crate) cpu: Duration,
    /// Memory that it holds at the moment of the (later) look, in bytes.
    pub(crate) rss: u64,
    /// Bytes that it had the system write to disks; none where the system does not tell.
    pub(crate) written: Option<u64>,
}

impl Usage {
    /// CPU seconds for a thousand of so many.
    pub(crate) fn cpu_per_thousand(self, done: f64) -> f64 {
        self.cpu.as_secs_f64() * 1_000.0 / done
    }

    /// Of two processes together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            rss: self.rss + other.rss,
            written: self.written.zip(other.written).map(|(one, other)| one + other),
        }
    }
}

/// What was used since an earlier look.
impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            rss: self.rss,
            written: self.written.zip(earlier.written).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// What this process has used so far.
pub(crate) fn own() -> Option<Usage> {
    of(std::process::id())
}

/// The time that this thread has spent on a core so far; nothing where the system does not tell.
#[cfg(unix)]
pub(crate) fn of_thread() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).ok()
}

/// Only Unix has such a clock.
#[cfg(not(unix))]
pub(crate) fn of_thread() -> Option<Duration> {
    None
}

/// What a process has used so far; nothing where the system does not tell, or when it is gone.
#[cfg(target_os = "linux")]
pub(crate) fn of(pid: u32) -> Option<Usage> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let stat = read("stat").ok()?;
    let status = read("status").ok()?;
    let written = read("io").ok().and_then(|io| number_after(&io, "write_bytes:"));
    let ticks = u32::try_from(cpu_ticks(&stat)?).ok()?;
    let a_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok().filter(|ticks| *ticks > 0)?;
    Some(Usage {
        cpu: Duration::from_secs(ticks.into()) / a_second,
        rss: number_after(&status, "VmRSS:")? * 1024,
        written,
    })
}

/// Only Linux tells in files.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of(_pid: u32) -> Option<Usage> {
    None
}

/// The time in user code and in the system, the 14th and 15th field. The second is the program's name in parentheses,
/// which may hold anything.
#[cfg(target_os = "linux")]
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

#[cfg(target_os = "linux")]
fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_cannot_confuse_its_times() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let before = own().unwrap();
        assert!(before.rss > 100_000, "{before:?}");
        let mut spent = Duration::ZERO;
        let mut number = 1_u64;
        while spent.is_zero() {
            number = std::hint::black_box((0..1_000_000).fold(number, u64::wrapping_add));
            spent = (own().unwrap() - before).cpu;
        }
        assert_eq!(of(u32::MAX), None);
    }
}
