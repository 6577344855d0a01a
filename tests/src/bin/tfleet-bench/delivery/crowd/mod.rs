//! Eight hosts that fetch the same image, each behind a link of the same rate, as the coordinator is.
//!
//! The image does not compress, and is small enough that eight engines on one machine are done with it while links, not
//! processors, decide.

mod fleet;

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::arguments::Arguments;
use super::measure::{Peaks, Watch};
use super::row::{self, Goal, Part, Row, peaks};
use crate::speak::tell;
use fleet::{HOSTS, Hosts, RATE, SLOW_SHARE};

/// Of the image for all, and of that for a fleet with faults.
const IMAGES_BYTES: [usize; 2] = [1_050_000_000, 480_000_000];
const SMALL_IMAGES_BYTES: [usize; 2] = [480_000_000, 240_000_000];
/// How often the coordinator is asked how far the hosts are.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Nobody waits longer, whatever went wrong.
const AT_MOST: Duration = Duration::from_secs(900);
/// The hosts that die when they have so much of the image.
const DYING: [usize; 2] = [6, 7];
const DIE_AT: f64 = 0.4;
/// The host whose link has a tenth of the rate.
const SLOW: usize = 5;

/// When each host had everything, verified, and when its engine had the image.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    fetched: Option<Duration>,
    present: Option<Duration>,
}

/// Measures, and gives rows.
pub fn measured(arguments: &Arguments) -> Result<Vec<Row>> {
    tell("\nStarting eight engines for hosts that fetch from each other");
    let hosts = Hosts::raise()?;
    let [even_bytes, faulty_bytes] = match arguments.small {
        true => SMALL_IMAGES_BYTES,
        false => IMAGES_BYTES,
    };
    hosts.add_image("even", even_bytes, 1)?;
    hosts.add_image("faulty", faulty_bytes, 2)?;
    hosts.limit_links()?;
    let mut rows = even(&hosts)?;
    rows.extend(faulty(&hosts)?);
    rows.push(registry(&hosts, &rows)?);
    Ok(rows)
}

fn even(hosts: &Hosts) -> Result<Vec<Row>> {
    let watches = hosts.watch()?;
    let before = hosts.sent_by_coordinator()?;
    let times = rollout(hosts, "even", &[], |_, _| Ok(()))?;
    let sent = hosts.sent_by_coordinator()? - before;
    tell(&format!("  even: {}", hosts.received("even")?));
    let bytes = hosts.stored_bytes("even")?;
    let bound = bytes / RATE;
    let mut rows = vec![
        seconds(
            "until all have every chunk",
            last(&times, |times| times.fetched)?,
        )
        .against("lower bound", bound, Goal::Within(1.25)),
        seconds(
            "until all engines have the image",
            last(&times, |times| times.present)?,
        ),
        row::bytes(Part::Crowd, "sent by the coordinator", sent as f64).against(
            "one compressed copy",
            bytes,
            Goal::Within(1.3),
        ),
    ];
    let (coordinator, agents) = watches.end()?;
    rows.extend(peaks(Part::Crowd, "coordinator", coordinator));
    rows.extend(peaks(Part::Crowd, "agent", agents));
    Ok(rows)
}

/// Two die midway, one has a tenth of the rate.
fn faulty(hosts: &Hosts) -> Result<Vec<Row>> {
    hosts.slow_down(SLOW)?;
    let mut dead = false;
    let times = rollout(hosts, "faulty", &DYING, |host, share| {
        if host == DYING[0] && share >= DIE_AT && !dead {
            dead = true;
            DYING.iter().try_for_each(|host| hosts.stop_agent(*host))?;
        }
        Ok(())
    })?;
    ensure!(dead, "the hosts that were to die were done before");
    let bytes = hosts.stored_bytes("faulty")?;
    let quick: Vec<Times> = (0..HOSTS)
        .filter(|host| *host != SLOW && !DYING.contains(host))
        .map(|host| times[host])
        .collect();
    let what = "2 die midway, 1 has a tenth of the rate";
    let slow = times[SLOW].fetched.context("the slow host is done")?;
    Ok(vec![
        seconds(
            &format!("{what}: the others"),
            last(&quick, |times| times.fetched)?,
        )
        .against("lower bound", bytes / RATE, Goal::Within(1.4)),
        seconds(&format!("{what}: the slow one"), slow).against(
            "lower bound",
            bytes / (RATE / SLOW_SHARE),
            Goal::Within(1.4),
        ),
    ])
}

/// All pull at once; the image was pushed before.
fn registry(hosts: &Hosts, ours: &[Row]) -> Result<Row> {
    tell("  the same from a registry");
    hosts.push("even")?;
    let wall = hosts.pull_all("even")?;
    let ours = ours
        .iter()
        .find(|row| row.what == "until all engines have the image")
        .map(|row| row.ours)
        .context("ours was measured")?;
    Ok(Row {
        ours,
        ..seconds("until all engines have the image", Duration::ZERO).against(
            "registry pull by all",
            wall.as_secs_f64(),
            Goal::Times(1.0),
        )
    })
}

/// Rolls out to all, and waits for all but the `dying`. `seen` is told each host's share of the image.
fn rollout(
    hosts: &Hosts,
    release: &str,
    dying: &[usize],
    mut seen: impl FnMut(usize, f64) -> Result<()>,
) -> Result<Vec<Times>> {
    let began = Instant::now();
    hosts.begin(release)?;
    let mut times = vec![Times::default(); HOSTS];
    // When all hosts together had so many tenths.
    let mut tenths: Vec<String> = Vec::new();
    let waits = |times: &[Times]| {
        let living = (0..HOSTS).filter(|host| !dying.contains(host));
        living.clone().any(|host| times[host].present.is_none())
    };
    while waits(&times) {
        ensure!(
            began.elapsed() < AT_MOST,
            "not done after {AT_MOST:?}: {times:?}"
        );
        sleep(ASK_EVERY);
        let standing = hosts.standing(release)?;
        let now = began.elapsed();
        let shares: f64 = standing.iter().map(|standing| standing.share).sum();
        while tenths.len() < 9 && shares * 10.0 / HOSTS as f64 >= (tenths.len() + 1) as f64 {
            tenths.push(format!("{:.1}", now.as_secs_f64()));
        }
        for (host, standing) in standing.iter().enumerate() {
            if standing.share >= 1.0 {
                times[host].fetched.get_or_insert(now);
            }
            if standing.present {
                times[host].present.get_or_insert(now);
            }
            seen(host, standing.share)?;
        }
    }
    tell(&format!(
        "  {release}: tenths of it after {} s",
        tenths.join(" ")
    ));
    let shown: Vec<String> = times
        .iter()
        .map(|times| {
            times
                .fetched
                .map_or("-".to_owned(), |at| format!("{:.1}", at.as_secs_f64()))
        })
        .collect();
    tell(&format!(
        "  {release}: every chunk after {} s",
        shown.join(" ")
    ));
    Ok(times)
}

fn last(times: &[Times], of: fn(&Times) -> Option<Duration>) -> Result<Duration> {
    times
        .iter()
        .map(|times| of(times).context("a host is not done"))
        .try_fold(Duration::ZERO, |last, time| Ok(last.max(time?)))
}

fn seconds(what: &str, time: Duration) -> Row {
    row::seconds(Part::Crowd, what, time)
}

/// The coordinator's peaks, and the highest of any agent.
struct Watches {
    coordinator: Watch,
    agents: Vec<Watch>,
}

impl Watches {
    fn end(self) -> Result<(Peaks, Peaks)> {
        let mut highest = Peaks::default();
        for agent in self.agents {
            highest = highest.or_higher(agent.end()?);
        }
        Ok((self.coordinator.end()?, highest))
    }
}
