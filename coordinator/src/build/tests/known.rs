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
