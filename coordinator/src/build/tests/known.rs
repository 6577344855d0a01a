//! What was built before.

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
