//! An image is run before it counts as built.

use tfleet_compat::{CudaStack, Recipe};
use tfleet_coordinator::build::{Additions, Dockerfile};
use tfleet_coordinator::config::Site;
use tfleet_tests::lab::{Engine, EngineKind, run};

use super::images;
use super::index::{Index, Manner, wheel};
use super::wheel::{Wheel, cuda_sonames, library, tensorflow};
use super::workshop::{Workshop, lab, recipe, site};

/// All that TensorFlow opens, in one wheel.
const RUNTIME: &str = "nvidia-cuda-runtime-cu12";

fn runtime(version: &str, needs: &[&str]) -> (String, Vec<u8>) {
    let parts = [
        "cuda-runtime",
        "cublas",
        "cufft",
        "curand",
        "cusolver",
        "cusparse",
        "cudnn",
    ];
    let mut wheel = Wheel::new(RUNTIME, version);
    for part in parts {
        for soname in cuda_sonames(&format!("nvidia-{part}-cu12")) {
            let needs = if part == "cublas" { needs } else { &[] };
            let path = format!("nvidia/cuda_runtime/lib/{soname}");
            wheel = wheel.file(&path, library(&soname, needs));
        }
    }
    wheel.pack()
}

fn gpu_recipe(runtime: &str) -> Recipe {
    Recipe {
        id: "tf2.15.1-cuda12.2".parse().unwrap(),
        cuda: Some(CudaStack {
            installed: "12.2.2".parse().unwrap(),
            built_for: "12.2".parse().unwrap(),
            cudnn: "8.9.4.25".parse().unwrap(),
            needs_library_path: false,
            compat: None,
        }),
        ..recipe(&["tensorflow==2.15.1", &format!("{RUNTIME}=={runtime}")])
    }
}

fn containers(engine: &Engine) -> String {
    run(engine.docker().args(["ps", "--all", "--quiet"])).unwrap()
}

fn with_dockerfile(rest: &str) -> Additions {
    let text = format!("ARG TFLEET_BASE\nFROM ${{TFLEET_BASE}}\n{rest}");
    Additions {
        dockerfile: Some(Dockerfile::new(text).unwrap()),
        ..Additions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_libraries_do_not_load_is_never_stored() {
    let lab = lab(EngineKind::System);
    let engine = lab.builder().unwrap();
    let index = Index::start(Manner::Serving, None).await;
    index.offer(wheel("pip", "'''stands for pip'''"));
    index.offer(tensorflow("tensorflow", "2.15.1", Some("12.2"), &["cuda_runtime"]).pack());
    index.offer(runtime("1.0", &["libcuda.so.1"]));
    index.offer(runtime("2.0", &["libmissing.so.3"]));
    let workshop = Workshop::new(&lab, site()).await;
    // Fetches the installer from the machine's own index.
    let plain = workshop.order(&["six==1.17.0"], Additions::default());
    workshop.build(&plain).await.unwrap();
    let ours = Site {
        python_indexes: vec![index.url()],
        ..site()
    };
    let workshop = workshop.moved(&lab, ours);

    let order = workshop
        .builds
        .order(gpu_recipe("1.0"), Additions::default())
        .unwrap();
    workshop.build(&order).await.unwrap();
    let log = workshop.log(&order).await;
    for line in [
        "check: TensorFlow 2.15.1, built for CUDA 12.2, was imported",
        "check: libcudart.so.12 loads, from /opt/tfleet/lib/python3.11/site-packages/nvidia/cuda_runtime/lib/libcudart.so.12",
        "check: libcudnn_ops_infer.so.8 loads",
        "check: the image is what its lock says",
    ] {
        assert!(log.contains(line), "{log}");
    }

    let stored = workshop.chunks();
    let order = workshop
        .builds
        .order(gpu_recipe("2.0"), Additions::default())
        .unwrap();
    let failure = workshop.build(&order).await.unwrap_err();
    assert_eq!(failure.code, "check-failed", "{failure}");
    for words in ["libcublas.so.12", "libmissing.so.3"] {
        assert!(failure.message.contains(words), "{failure}");
    }
    assert!(failure.remedy.is_some());
    assert!(workshop.builds.built(&order).unwrap().is_none());
    assert_eq!(workshop.chunks(), stored);
    assert_eq!(containers(engine), "");
    assert!(
        images(engine)
            .iter()
            .all(|image| image.starts_with("tfleet/base:"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_of_ones_own_stands_on_the_locked_image_and_must_leave_it_as_it_is() {
    let lab = lab(EngineKind::System);
    let workshop = Workshop::new(&lab, site()).await;
    let recipe = ["six==1.17.0"];
    let plain = workshop.order(&recipe, Additions::default());
    let plain = workshop.build(&plain).await.unwrap();

    let own = workshop.order(
        &recipe,
        with_dockerfile(
            "ARG TFLEET_TENSORFLOW\nARG TFLEET_PYTHON\nARG TFLEET_ARCHITECTURE\nARG TFLEET_CUDA\n\
             RUN --mount=type=tmpfs,target=/run --mount=type=bind,source=site,target=/run/site \\\n    \
             . /run/site/environment && pip install --no-compile idna==3.10 && \\\n    \
             echo \"$TFLEET_TENSORFLOW $TFLEET_PYTHON $TFLEET_ARCHITECTURE [$TFLEET_CUDA]\" > /etc/motd\n\
             CMD [\"sleep\", \"1000\"]\n",
        ),
    );
    let built = workshop.build(&own).await.unwrap();
    let store = workshop.builds.artifacts();
    let index = |artifact| store.index(artifact).unwrap().unwrap();
    let (few, many) = (index(&plain.artifact), index(&built.artifact));
    assert_eq!(many.layers[..few.layers.len()], few.layers[..]);
    assert_eq!(many.layers.len(), few.layers.len() + 1);
    assert!(
        many.config.contains(r#""Cmd":["sleep","1000"]"#),
        "{}",
        many.config
    );
    assert!(workshop.holds(&built.artifact, "2.15.1 3.11 x86_64 []"));
    assert!(
        workshop
            .builds
            .order(own.recipe.clone(), with_dockerfile(""))
            .unwrap()
            .digest()
            != own.digest()
    );

    // What it must not do.
    let site_mount =
        "RUN --mount=type=tmpfs,target=/run --mount=type=bind,source=site,target=/run/site";
    for (rest, code, words) in [
        (
            format!("{site_mount} . /run/site/environment && pip install six==1.16.0\n"),
            "check-failed",
            "six is 1.16.0, the lock says 1.17.0",
        ),
        (
            "RUN mkdir -p /etc/apt/apt.conf.d && echo 'Acquire::http::Proxy \"http://proxy:3128\";' > /etc/apt/apt.conf.d/50p\n\
             ENV https_proxy=http://proxy:3128\n"
                .to_owned(),
            "check-failed",
            "/etc/apt/apt.conf.d/50p",
        ),
        (
            "RUN rm /opt/tfleet/bin/python*\n".to_owned(),
            "check-failed",
            "its Python does not start",
        ),
        (
            "FROM scratch\nCOPY --from=0 /etc/hostname /\n".to_owned(),
            "additions-refused",
            "TFLEET_BASE",
        ),
        ("RUN exit 3\n".to_owned(), "build-failed", "exit"),
    ] {
        let order = workshop.order(&recipe, with_dockerfile(&rest));
        let failure = workshop.build(&order).await.unwrap_err();
        assert_eq!(failure.code, code, "{rest}: {failure}");
        assert!(failure.message.contains(words), "{rest}: {failure}");
        assert!(workshop.builds.built(&order).unwrap().is_none());
    }
    assert_eq!(containers(lab.builder().unwrap()), "");

    // The site's own CA, kept as a file of the image.
    let folder = tempfile::tempdir().unwrap();
    tfleet_coordinator::ca::Authority::open(folder.path(), "site").unwrap();
    let index = Index::start(Manner::Serving, None).await;
    index.offer(wheel("pip", "'''stands for pip'''"));
    index.offer(wheel("greeting", "print('hello')"));
    let with_ca = Site {
        python_indexes: vec![index.url()],
        ca_bundle: Some(folder.path().join("ca.crt")),
        ..site()
    };
    let workshop = workshop.moved(&lab, with_ca);
    let order = workshop.order(
        &["greeting"],
        with_dockerfile(&format!(
            "{site_mount} cp /run/site/ca.crt /etc/ssl/certs/site.pem\n"
        )),
    );
    let failure = workshop.build(&order).await.unwrap_err();
    assert_eq!(failure.code, "secret-in-image", "{failure}");
    assert!(failure.message.contains("the CA bundle"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_of_a_check_that_a_crash_cut_off_goes_with_the_next_start() {
    let lab = lab(EngineKind::System);
    let engine = lab.builder().unwrap();
    let workshop = Workshop::new(&lab, site()).await;
    let order = workshop.order(&["six==1.17.0"], Additions::default());
    workshop.build(&order).await.unwrap();
    let base = images(engine).remove(0);
    run(engine.docker().args(["tag", &base, "tfleet/build:left"])).unwrap();
    let label = "tfleet.check=tfleet/build:left";
    let left = [
        "run",
        "--detach",
        "--label",
        label,
        "tfleet/build:left",
        "sleep",
        "1000",
    ];
    run(engine.docker().args(left)).unwrap();
    // Somebody's own is no business of ours.
    let other = run(engine.docker().args(["create", &base, "true"])).unwrap();
    let _workshop = workshop.moved(&lab, site());
    super::workshop::until("only the other container is left", || {
        let left = containers(engine);
        left.lines().count() == 1 && other.starts_with(left.trim())
    })
    .await;
}
