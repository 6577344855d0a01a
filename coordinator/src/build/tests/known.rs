//! What was built before.

use jiff::SignedDuration;

use super::*;

#[tokio::test]
async fn asking_for_what_was_built_before_leaves_the_log_of_its_build() {
    let shop = Shop::open();
    let order = shop.order(None);
    let base = shop.store("usr/bin/python3.11", b"a base").artifact;
    let built = shop.build_before(&order, base);

    let mut status = shop.builds.start(order.clone(), Freshness::Locked).unwrap();
    let ended = status.wait_for(|status| status.outcome.is_some()).await;
    let outcome = ended.unwrap().outcome.clone().unwrap().unwrap();
    assert!(outcome.cached);
    assert_eq!(outcome.artifact, built.artifact);
    assert_eq!(shop.log(&order).await, ["the whole story"]);
}

#[tokio::test]
async fn a_base_imported_again_under_its_name_ends_what_was_built_on_the_earlier_one() {
    let shop = Shop::open();
    let order = shop.order(Some("ours"));
    let first = shop.store("usr/bin/python3.11", b"a base").artifact;
    let second = shop.store("usr/bin/python3.11", b"a better base").artifact;
    let import = |base| shop.builds.inner.bases.import("ours", base).unwrap();
    import(first);
    let built = shop.build_before(&order, first).artifact;
    let known = || {
        shop.builds
            .built(&order)
            .unwrap()
            .map(|known| known.artifact)
    };
    assert_eq!(known(), Some(built));
    import(second);
    assert_eq!(known(), None);
    import(first);
    assert_eq!(known(), Some(built));
}

#[tokio::test]
async fn what_was_resolved_before_a_time_is_forgotten_and_what_came_after_stays() {
    let shop = Shop::open();
    let inner = &shop.builds.inner;
    let known = |order: &Order| shop.builds.built(order).unwrap().is_some();
    let base = shop.store("usr/bin/python3.11", b"a base").artifact;
    for (base_name, has_record) in [(None, false), (Some("ours"), true)] {
        let order = shop.order(base_name);
        inner.bases.import("ours", base).unwrap();
        std::fs::write(
            inner.bases.record(&order),
            format!("{{\"artifact\":\"{base}\"}}"),
        )
        .unwrap();
        shop.build_before(&order, base);
        let before = Timestamp::now() - SignedDuration::from_secs(60);
        inner.forget_older(&order, before).unwrap();
        assert!(known(&order));
        let after = Timestamp::now() + SignedDuration::from_secs(60);
        inner.forget_older(&order, after).unwrap();
        assert!(!known(&order));
        assert_eq!(inner.bases.record(&order).exists(), has_record);
    }
}
