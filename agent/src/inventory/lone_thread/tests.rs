use std::sync::mpsc;
use std::thread::sleep;

use super::*;

#[tokio::test]
async fn work_that_gets_on_may_last_longer_than_the_limit() {
    let limit = Duration::from_secs(1);
    let thread = LoneThread::new(limit);
    let work = move |steps: &Steps| {
        for _ in 0..50 {
            sleep(limit / 25);
            steps.step();
        }
        "done"
    };
    assert_eq!(thread.run(work).await, Some("done"));
}

#[tokio::test]
async fn work_that_hangs_is_given_up_and_not_begun_again_until_it_ends() {
    let thread = LoneThread::new(Duration::from_millis(50));
    let (end, ended) = mpsc::channel::<()>();
    let hanging = move |steps: &Steps| {
        steps.step();
        ended.recv().unwrap_err();
    };
    assert_eq!(thread.run(hanging).await, None);
    assert_eq!(thread.run(|_| ()).await, None, "one thread hangs already");
    drop(end);
    while thread.run(|_| ()).await.is_none() {
        tokio::task::yield_now().await;
    }
}
