//! Where packages come from: indexes and mirrors in their order, and what they send.

use jiff::Timestamp;
use tfleet_coordinator::build::{Additions, Freshness};
use tfleet_coordinator::config::Site;
use tfleet_tests::lab::{EngineKind, run};

use super::images;
use super::index::{Index, Manner, wheel};
use super::workshop::{Workshop, lab, machine_mirror, site, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_dead_or_silent_is_given_up_for_the_next_and_its_password_stays_nowhere() {
    const PASSWORD: &str = "only-for-the-mirror";
    let lab = lab(EngineKind::System);
    let silent = Index::start(Manner::Silent, None).await;
    let good = Index::start(Manner::Serving, Some(&format!("robot:{PASSWORD}"))).await;
    good.offer(wheel("pip", "'''stands for pip'''"));
    good.offer(wheel("greeting", "print('hello')"));

    // Fetches the installer from the machine's own index, which the other sites do not have.
    let workshop = Workshop::new(&lab, site()).await;
    workshop
        .build(&workshop.order(&["six==1.17.0"], Additions::default()))
        .await
        .unwrap();
    let dead = "http://127.0.0.1:9/simple".to_owned();
    let private = Site {
        python_indexes: vec![dead, silent.url(), good.url()],
        stall_seconds: 2,
        ..Site::default()
    };
    let workshop = workshop.moved(&lab, private);

    let order = workshop.order(&["greeting"], Additions::default());
    let built = workshop.build(&order).await.unwrap();
    let log = workshop.log(&order).await;
    for url in ["http://127.0.0.1:9/simple", &silent.url()] {
        assert!(
            log.contains(&format!("resolving with {url} failed, trying the next")),
            "{log}"
        );
    }
    assert!(!log.contains(PASSWORD), "{log}");
    // The resolver has just said where the wheels are. From a lock that was kept they are asked for by name.
    workshop.forget_builds();
    workshop.forget_wheels();
    assert_eq!(
        workshop.build(&order).await.unwrap().artifact,
        built.artifact
    );
    let log = workshop.log(&order).await;
    for url in ["http://127.0.0.1:9/simple", &silent.url()] {
        assert!(
            log.contains(&format!(
                "fetching wheels with {url} failed, trying the next"
            )),
            "{log}"
        );
    }
    assert!(!log.contains(PASSWORD), "{log}");
    let index = workshop
        .builds
        .artifacts()
        .index(&built.artifact)
        .unwrap()
        .unwrap();
    assert!(
        !index.config.contains(PASSWORD) && !index.config.contains("127.0.0.1"),
        "{}",
        index.config
    );

    // A package that takes the password with it is found out, and nothing of the image stays.
    let stored = workshop.chunks();
    good.offer(wheel("leak", &format!("token = '{PASSWORD}'")));
    let order = workshop.order(&["leak"], Additions::default());
    let failure = workshop.build(&order).await.unwrap_err();
    assert_eq!(failure.code, "secret-in-image");
    assert!(
        failure
            .message
            .contains("the password of a package index is in the image's layers"),
        "{failure}"
    );
    assert!(workshop.builds.built(&order).unwrap().is_none());
    assert_eq!(workshop.chunks(), stored, "no chunk of it stays");
    until("the image is gone from the builder", || {
        images(lab.builder().unwrap())
            .iter()
            .all(|image| image.starts_with("tfleet/base:"))
    })
    .await;

    // Other bytes than the lock's under the same name do not get in; once the index is true again, the build works.
    good.offer(wheel("late", "print('true')"));
    let late = workshop.order(&["late"], Additions::default());
    workshop.build(&late).await.unwrap();
    workshop.forget_builds();
    workshop.forget_wheels();
    good.offer(wheel("late", "print('false')"));
    let failure = workshop.build(&late).await.unwrap_err();
    assert_eq!(failure.code, "build-failed");
    assert!(
        failure.message.contains("Hash mismatch") || failure.message.contains("hash"),
        "{failure}"
    );
    let format = "--format={{.Type}}: {{.Size}}";
    let usage = run(lab
        .builder()
        .unwrap()
        .docker()
        .args(["system", "df", format]))
    .unwrap();
    assert!(usage.contains("Build Cache: 0B"), "it left {usage}");
    good.offer(wheel("late", "print('true')"));
    let locked = workshop.build(&late).await.unwrap();

    // Who asks for it to be resolved anew gets what the index has now.
    good.offer(wheel("late", "print('better')"));
    let now = Freshness::Since(Timestamp::now());
    let mut status = workshop.builds.start(late.clone(), now).unwrap();
    let ended = status.wait_for(|status| status.outcome.is_some()).await;
    let anew = ended.unwrap().outcome.clone().unwrap().unwrap();
    assert_ne!(anew.lock, locked.lock);
    assert!(workshop.holds(&anew.artifact, "print('better')"));
    assert_eq!(
        workshop.build(&late).await.unwrap().artifact,
        anew.artifact,
        "which is the order's lock from now on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debian_mirror_that_is_dead_or_silent_is_given_up_for_the_next_and_its_password_stays_nowhere()
 {
    const PASSWORD: &str = "only-for-the-debian-mirror";
    let lab = lab(EngineKind::System);
    let silent = Index::start(Manner::Silent, Some(&format!("robot:{PASSWORD}"))).await;
    let bashrc = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bashrc.path(), "alias gpus='nvidia-smi -L'\n").unwrap();
    let dead = "http://127.0.0.1:9/debian".to_owned();
    let ours = Site {
        debian_mirrors: vec![dead, silent.url(), machine_mirror()],
        extra_packages: vec!["netbase".to_owned()],
        bashrc: Some(bashrc.path().to_owned()),
        stall_seconds: 3,
        ..Site::default()
    };
    let workshop = Workshop::empty(&lab, ours);
    let order = workshop.order(&["six==1.17.0"], Additions::default());
    let built = workshop.build(&order).await.unwrap();
    let log = workshop.log(&order).await;
    let given_up = log.matches("failed, trying the next").count();
    assert!(
        given_up == 2 && log.contains("http://127.0.0.1:9/debian"),
        "{log}"
    );
    assert!(!log.contains(PASSWORD), "{log}");
    assert!(workshop.holds(&built.artifact, "Package: netbase\n"));
    assert!(workshop.holds(&built.artifact, "alias gpus='nvidia-smi -L'"));
    for trace in [PASSWORD, "127.0.0.1:9/debian"] {
        assert!(!workshop.holds(&built.artifact, trace), "{trace} stays");
    }
}
