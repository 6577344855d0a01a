//! Processor time of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's `USER_HZ`: what it tells programs is in these, whatever it counts in itself.
const TICKS_PER_SECOND: u64 = 100;

/// What this process, the children that it waited for, and another process have used until now.
#[derive(Clone, Copy)]
pub struct Cpu(Duration);

impl Cpu {
    pub fn now(other: Option<i32>) -> Result<Self> {
        let mut ticks = used("self", 4)?;
        if let Some(pid) = other {
            ticks += used(&pid.to_string(), 2)?;
        }
        Ok(Self(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)))
    }

    pub fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }
}

/// `utime`, `stime`, `cutime` and `cstime` of proc(5), so many of them, in ticks.
fn used(process: &str, count: usize) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses, with anything in it.
    let (_, rest) = stat.rsplit_once(')').context("a name")?;
    let fields = rest.split_whitespace().skip(11).take(count);
    fields
        .map(|field| field.parse::<u64>().context("a number of ticks"))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_counts() {
        let before = Cpu::now(None).unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        let time = Cpu::now(None).unwrap().since(before);
        assert!(time >= Duration::from_millis(20), "{time:?}");
        assert!(used("1", 2).is_ok());
    }
}
