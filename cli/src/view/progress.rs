//! What is going on: a bar for each host or variant on a terminal, plain lines elsewhere.
//!
//! Plain lines come when something new begins and at least every [`LINE_INTERVAL`], so that a log shows that we live
//! and how fast. Everything goes to standard error; standard output is the command's result.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{Interval, MissedTickBehavior};

use super::note;
use super::quantity::{bytes, duration, rate};

const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// A new activity within the same phase is worth a line, but not every one of a fast sequence.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(2);

/// What one host or variant is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// One word: "building". A new one starts the rate anew.
    pub phase: &'static str,
    /// One line: "step 3/7: installing TensorFlow". May be empty.
    pub activity: String,
    pub done_bytes: u64,
    /// Zero: unknown. It may be an estimate, which the bytes can pass.
    pub total_bytes: u64,
}

/// How far a step is, as far as its bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// No total, or one that was guessed too low.
    Open,
    /// Nothing is done yet, so nobody can say how long it takes.
    Begun,
    Counted,
    /// All bytes are there, or all that are counted, and something is still done with them.
    Finishing,
}

impl Step {
    fn shape(&self) -> Shape {
        match (self.done_bytes, self.total_bytes) {
            (done, total) if done > total || total == 0 => Shape::Open,
            (0, _) => Shape::Begun,
            (done, total) if total - done <= total / 100 => Shape::Finishing,
            _ => Shape::Counted,
        }
    }
}

/// All bars of one command.
pub struct Progress {
    bars: Option<MultiProgress>,
    lanes: BTreeMap<String, Lane>,
    interval: Interval,
}

struct Lane {
    bar: Option<ProgressBar>,
    step: Step,
    /// When the phase began, and with how many bytes done.
    began: (Instant, u64),
    /// When its last line was printed.
    printed: Instant,
    over: bool,
}

impl Progress {
    pub fn new() -> Self {
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let bars = io::stderr().is_terminal().then(MultiProgress::new);
        Self {
            bars,
            lanes: BTreeMap::new(),
            interval,
        }
    }

    /// Shows where `name` is now. A lane that is over stays over.
    pub fn show(&mut self, name: &str, step: Step) {
        let now = Instant::now();
        let bars = self.bars.as_ref();
        let mut is_new = false;
        let lane = self.lanes.entry(name.to_owned()).or_insert_with(|| {
            is_new = true;
            Lane {
                bar: bars.map(|bars| bars.add(new_bar(name))),
                step: step.clone(),
                began: (now, step.done_bytes),
                printed: now,
                over: false,
            }
        });
        if lane.over {
            return;
        }
        let new_phase = is_new || lane.step.phase != step.phase;
        let new_shape = is_new || lane.step.shape() != step.shape();
        let new_activity = lane.step.activity != step.activity;
        if new_phase {
            lane.began = (now, step.done_bytes);
        }
        lane.step = step;
        match &lane.bar {
            Some(bar) => lane.draw(bar, new_phase, new_shape),
            None => {
                let quiet = now.duration_since(lane.printed);
                if new_phase
                    || quiet >= LINE_INTERVAL
                    || (new_activity && quiet >= ACTIVITY_INTERVAL)
                {
                    lane.print(name, now);
                }
            }
        }
    }

    /// The last word about `name`.
    pub fn finish(&mut self, name: &str, text: &str) {
        let bars = self.bars.as_ref();
        let now = Instant::now();
        let lane = self.lanes.entry(name.to_owned()).or_insert_with(|| Lane {
            bar: bars.map(|bars| bars.add(new_bar(name))),
            step: Step::default(),
            began: (now, 0),
            printed: now,
            over: false,
        });
        if std::mem::replace(&mut lane.over, true) {
            return;
        }
        match &lane.bar {
            Some(bar) => {
                bar.set_style(style("{prefix:.bold}  {wide_msg}"));
                bar.finish_with_message(text.to_owned());
            }
            None => note(&format!("{name}: {text}")),
        }
    }

    /// Waits a little, then prints a line for each lane that was quiet for too long. Cancel-safe: nothing is lost when
    /// an event comes first.
    pub async fn tick(&mut self) {
        self.interval.tick().await;
        let now = Instant::now();
        for (name, lane) in &mut self.lanes {
            if !lane.over && lane.bar.is_none() && now.duration_since(lane.printed) >= LINE_INTERVAL
            {
                lane.print(name, now);
            }
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Lane {
    fn draw(&self, bar: &ProgressBar, new_phase: bool, new_shape: bool) {
        let Step {
            phase,
            activity,
            done_bytes,
            total_bytes,
        } = &self.step;
        if new_phase || new_shape {
            bar.set_style(style(match self.step.shape() {
                Shape::Open => "{prefix:.bold}  {spinner} {msg} {elapsed}",
                Shape::Begun => "{prefix:.bold}  {spinner} {binary_bytes}/{binary_total_bytes}  {wide_msg}",
                Shape::Counted => "{prefix:.bold}  {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left  {wide_msg}",
                Shape::Finishing => "{prefix:.bold}  {spinner} {binary_bytes}, finishing  {wide_msg}",
            }));
        }
        bar.set_length(*total_bytes);
        bar.set_position(*done_bytes);
        if new_phase {
            bar.reset_eta();
        }
        let mut message = title(phase, activity);
        if self.step.shape() == Shape::Open && *done_bytes > 0 {
            message = format!("{message}, {}", bytes(*done_bytes));
        }
        bar.set_message(message);
    }

    fn print(&mut self, name: &str, now: Instant) {
        self.printed = now;
        let (began, done_then) = self.began;
        note(&format!(
            "{name}: {}",
            line(&self.step, now.duration_since(began), done_then)
        ));
    }
}

/// "building: step 3/7, 1.2 GiB of 4.9 GiB, 48 MiB/s, 1m left".
pub(super) fn line(step: &Step, time: Duration, done_at_start: u64) -> String {
    let Step {
        phase,
        activity,
        done_bytes,
        total_bytes,
    } = step;
    let mut parts = vec![title(phase, activity)];
    match step.shape() {
        Shape::Open if *done_bytes == 0 => {}
        Shape::Open => parts.push(bytes(*done_bytes)),
        Shape::Finishing => {
            parts.push(bytes(*done_bytes));
            parts.push("finishing".to_owned());
            return parts.join(", ");
        }
        Shape::Begun | Shape::Counted => {
            parts.push(format!("{} of {}", bytes(*done_bytes), bytes(*total_bytes)))
        }
    }
    let moved = done_bytes.saturating_sub(done_at_start);
    if let Some(rate) = rate(moved, time) {
        parts.push(rate);
        if step.shape() == Shape::Counted {
            #[expect(clippy::cast_precision_loss, reason = "a guess for people")]
            let ahead = time.mul_f64((total_bytes - done_bytes) as f64 / moved as f64);
            parts.push(format!("{} left", duration(ahead)));
        }
    } else if time >= Duration::from_secs(1) {
        parts.push(format!("for {}", duration(time)));
    }
    parts.join(", ")
}

fn title(phase: &str, activity: &str) -> String {
    if activity.is_empty() {
        phase.to_owned()
    } else {
        format!("{phase}: {activity}")
    }
}

fn new_bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[expect(
    clippy::expect_used,
    reason = "the templates are constants of this file"
)]
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("a valid template")
        .progress_chars("=> ")
}
