use std::collections::BTreeMap;

use futures::stream;
use jiff::Timestamp;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{Engine, Gpu, Machine};

use super::*;

fn host() -> Inventory {
    Inventory {
        observed_at: Timestamp::UNIX_EPOCH,
        machine: Machine {
            architecture: "x86_64".to_owned(),
            distribution: None,
            kernel_release: None,
            cpu_model: None,
            cpu_count: 2,
            cpu_flags: Vec::new(),
            memory_bytes: Some(1 << 30),
        },
        driver: None,
        gpus: vec![Gpu {
            uuid: "GPU-1".to_owned(),
            index: 0,
            name: "Tesla T4".to_owned(),
            compute_capability: None,
            memory_bytes: None,
            memory_used_bytes: None,
            mig_enabled: None,
            ecc_enabled: None,
            temperature_celsius: Some(41),
            utilisation_percent: None,
            processes: Vec::new(),
            pci_bus_id: None,
            fault: None,
        }],
        engine: Engine {
            endpoint: "unix:///nowhere".to_owned(),
            version: None,
            api_version: None,
            storage_driver: None,
            image_store: None,
            runtimes: Vec::new(),
            data_root: None,
            data_root_free_bytes: Some(7),
            fault: None,
        },
        gpu_modes: Vec::new(),
        runtime_mode: None,
        images: Vec::new(),
        labels: BTreeMap::new(),
        warnings: Vec::new(),
        sources: Vec::new(),
    }
}

fn warmer() -> Inventory {
    let mut warmer = host();
    warmer.gpus[0].temperature_celsius = Some(80);
    warmer.engine.data_root_free_bytes = Some(5);
    warmer
}

/// A watcher that told `host()` at the time that comes with it.
fn watcher() -> (Watcher, watch::Receiver<Option<Arc<Inventory>>>, Instant) {
    let engine = crate::engine::Engine::connect("tcp://127.0.0.1:1").unwrap();
    let inspector = Inspector::new(engine, BTreeMap::new());
    let (told, mut receiver) = watch::channel(None);
    let mut watcher = Watcher::new(inspector, told);
    let now = Instant::now();
    watcher.tell(host(), now);
    assert!(receiver.has_changed().unwrap(), "the first look is news");
    receiver.mark_unchanged();
    (watcher, receiver, now)
}

#[tokio::test]
async fn the_same_host_at_another_time_is_no_news() {
    let (mut watcher, receiver, now) = watcher();
    let mut later = host();
    later.observed_at = Timestamp::MAX;
    watcher.tell(later, now + TELL_VOLATILE_EVERY);
    assert!(!receiver.has_changed().unwrap());
}

#[tokio::test]
async fn what_changes_all_the_time_waits_for_its_turn() {
    let (mut watcher, receiver, now) = watcher();
    watcher.tell(
        warmer(),
        now + TELL_VOLATILE_EVERY - Duration::from_millis(1),
    );
    assert!(!receiver.has_changed().unwrap());
    watcher.tell(warmer(), now + TELL_VOLATILE_EVERY);
    assert_eq!(receiver.borrow().as_deref(), Some(&warmer()));
}

#[tokio::test]
async fn a_lost_gpu_is_told_at_once_with_all_that_is_new() {
    let (mut watcher, receiver, now) = watcher();
    let mut lost = warmer();
    lost.gpus[0].fault = Some(Failure::new("gpu-lost", "GPU 0 has fallen off the bus"));
    watcher.tell(lost.clone(), now);
    assert_eq!(receiver.borrow().as_deref(), Some(&lost));
}

#[tokio::test]
async fn a_burst_of_wake_ups_costs_one_look() {
    let mut burst = pin!(stream::iter([(); 1000]));
    wait(burst.as_mut()).await;
    assert_eq!(burst.next().await, None);
}
