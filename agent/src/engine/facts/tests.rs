use super::*;

const DATA_ROOT: &str = "/data/docker";

fn root(configured: Option<&str>, address: Option<&str>, there: &[&str]) -> Option<PathBuf> {
    containerd_root(
        configured.map(Path::new),
        address.map(str::to_owned),
        Some(Path::new(DATA_ROOT)),
        |path| there.iter().any(|known| path == Path::new(known)),
    )
}

#[test]
fn images_lie_where_the_containerd_that_the_engine_uses_keeps_them() {
    let (system, own) = ("/var/lib/containerd", "/data/docker/containerd/daemon");
    let both = [system, own];
    let address = Some("/run/containerd/containerd.sock");
    assert_eq!(
        root(None, address, &both).as_deref(),
        Some(Path::new(system))
    );
    assert_eq!(root(None, None, &both).as_deref(), Some(Path::new(system)));
    let started = Some("/var/run/docker/containerd/containerd.sock");
    assert_eq!(root(None, started, &both).as_deref(), Some(Path::new(own)));
    assert_eq!(
        root(Some("/ssd/containerd"), address, &both).as_deref(),
        Some(Path::new("/ssd/containerd"))
    );
    assert_eq!(root(None, address, &[]), None);
    assert_eq!(root(None, Some("/srv/containerd.sock"), &[system]), None);
}

#[test]
fn room_is_looked_for_at_containerds_folder_and_else_at_the_engines() {
    let mut facts = EngineFacts {
        version: "28.5.2".to_owned(),
        api_version: "1.51".parse().unwrap(),
        image_store: ImageStore::Containerd,
        storage_driver: None,
        data_root: Some(DATA_ROOT.into()),
        containerd_root: Some("/var/lib/containerd".into()),
        runtimes: HashMap::new(),
        volume_plugins: Vec::new(),
        cdi_folders: Vec::new(),
        cdi_devices: Vec::new(),
    };
    assert_eq!(facts.image_folder(), Some(Path::new("/var/lib/containerd")));
    facts.containerd_root = None;
    assert_eq!(facts.image_folder(), Some(Path::new(DATA_ROOT)));
}
