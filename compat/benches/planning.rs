//! Planning time for 100,000 hosts with 60 distinct drivers, as a ratio to sorting the same list by name, and the memory
//! that a plan takes per host. Rounds are interleaved; medians are shown. `--hosts N --rounds N` change the size.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for whoever measures"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tfleet_compat::{Catalog, Gpu, HostFacts, Policy, Question, ReleaseSpec, Stock};

/// Counts what is allocated and not yet freed.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator is")]
// SAFETY: everything is left to the system's allocator; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BRANCHES: [u32; 12] = [384, 390, 410, 418, 440, 450, 470, 510, 525, 535, 550, 570];
const GPUS: [&str; 15] = [
    "Tesla K80",
    "Tesla P100-PCIE-16GB",
    "GeForce GTX 1080 Ti",
    "Tesla V100-SXM2-16GB",
    "Tesla V100-PCIE-32GB",
    "Tesla T4",
    "GeForce RTX 2080 Ti",
    "NVIDIA A100-SXM4-40GB",
    "NVIDIA GeForce RTX 3090",
    "NVIDIA A10",
    "NVIDIA A100 80GB PCIe",
    "NVIDIA L4",
    "NVIDIA H100 80GB HBM3",
    "NVIDIA GeForce RTX 4090",
    "NVIDIA GeForce RTX 5090",
];

fn main() {
    let (hosts, rounds) = (argument("--hosts", 100_000), argument("--rounds", 9));
    let fleet = fleet(hosts);
    let catalog = Catalog::builtin();
    let release = ReleaseSpec::new("bench", ">=2".parse().unwrap());
    let (policy, stock) = (Policy::default(), Stock::default());
    let question = Question {
        catalog,
        release: &release,
        policy: &policy,
        stock: &stock,
        gate: None,
    };
    let (mut sorting, mut planning, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes_per_host = (0, 0);
    for _ in 0..rounds {
        sorting.push(timed(|| {
            let mut sorted: Vec<&HostFacts> = fleet.iter().collect();
            sorted.sort_unstable_by_key(|host| &host.name);
            black_box(sorted);
        }));
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        PEAK_BYTES.store(before, Ordering::Relaxed);
        let mut plan = None;
        planning.push(timed(|| plan = Some(question.plan(&fleet, None).unwrap())));
        let plan = plan.unwrap();
        assert_eq!(plan.assignments.len() + plan.unplaced.len(), fleet.len());
        bytes_per_host = (
            (LIVE_BYTES.load(Ordering::Relaxed) - before) / fleet.len(),
            (PEAK_BYTES.load(Ordering::Relaxed) - before) / fleet.len(),
        );
        again.push(timed(|| {
            black_box(question.plan(&fleet, Some(&plan)).unwrap());
        }));
    }
    let [sorting, planning, again] = [sorting, planning, again].map(median);
    let ratio = planning.as_secs_f64() / sorting.as_secs_f64();
    println!(
        "planning {hosts} hosts, 60 drivers, 15 GPU models; medians of {rounds} interleaved rounds"
    );
    println!("  sorting the list by name     {:8.1} ms", millis(sorting));
    println!("  planning                     {:8.1} ms", millis(planning));
    println!("  planning again, with a plan  {:8.1} ms", millis(again));
    println!("  planning / sorting           {ratio:8.1}     (goal: under 10)");
    println!(
        "  a plan, per host             {:8}     bytes (peak while planning {})",
        bytes_per_host.0, bytes_per_host.1
    );
}

/// Host names are not in order, and every driver meets every GPU.
fn fleet(hosts: usize) -> Vec<HostFacts> {
    (0..hosts)
        .map(|index| {
            // A multiplicative step visits every number once and in no order.
            let shuffled = index * 7_919 % hosts.max(1);
            let mut host = HostFacts::new(format!("gpu-{shuffled:06}.example.com"));
            let branch = BRANCHES[index % BRANCHES.len()];
            let patch = 40 + index / BRANCHES.len() % 5;
            host.driver_version = Some(format!("{branch}.{patch}.02").parse().unwrap());
            let flags = ["fpu", "sse4_2", "avx", "avx2"].map(str::to_owned);
            host.cpu_flags = Some(flags.into_iter().collect());
            host.gpus = vec![Gpu::named(GPUS[index / 60 % GPUS.len()]); 4];
            host
        })
        .collect()
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn argument(name: &str, otherwise: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments
        .nth(1)
        .map_or(otherwise, |value| value.parse().unwrap())
}
