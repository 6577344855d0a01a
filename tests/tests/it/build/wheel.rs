//! Small wheels that look like real ones: modules, distributions' metadata, and shared libraries of the linker's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tfleet_tests::lab::run;

/// A wheel to be packed.
pub struct Wheel {
    name: String,
    version: String,
    tag: String,
    files: BTreeMap<String, Vec<u8>>,
}

/// The folder of the CUDA wheels' libraries, seen from TensorFlow's.
const CUDA_WHEELS: &str = "$ORIGIN/../nvidia";

impl Wheel {
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.replace('-', "_"),
            version: version.to_owned(),
            tag: "py3-none-any".to_owned(),
            files: BTreeMap::new(),
        }
    }

    pub fn tag(self, tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            ..self
        }
    }

    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    /// A program that lands beside the environment's Python.
    pub fn program(self, name: &str, text: &str) -> Self {
        let path = format!("{}-{}.data/scripts/{name}", self.name, self.version);
        self.file(&path, text)
    }

    /// The file's name and its bytes, packed by Python's own tools.
    pub fn pack(self) -> (String, Vec<u8>) {
        const PACK: &str = r#"
import base64, hashlib, os, sys, zipfile
path, folder, name, version, tag = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n".encode(),
    f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
}
for root, _, names in os.walk(folder):
    for file in names:
        place = os.path.join(root, file)
        files[os.path.relpath(place, folder)] = open(place, "rb").read()
record = ""
with zipfile.ZipFile(path, "w") as wheel:
    for file in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[file]).digest()).rstrip(b"=").decode()
        record += f"{file},sha256={digest},{len(files[file])}\n"
        wheel.writestr(zipfile.ZipInfo(file), files[file])
    wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record + f"{info}/RECORD,,\n")
"#;
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("content");
        std::fs::create_dir(&content).unwrap();
        for (path, bytes) in &self.files {
            let path = content.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let file = format!("{}-{}-{}.whl", self.name, self.version, self.tag);
        let path = folder.path().join(&file);
        let mut pack = Command::new("python3");
        pack.args(["-c", PACK]).arg(&path).arg(&content);
        run(pack.args([&self.name, &self.version, &self.tag])).unwrap();
        (file, std::fs::read(path).unwrap())
    }
}

/// TensorFlow without its weight: what says which one it is, and the library whose run path leads to the CUDA wheels in
/// `folders`.
pub fn tensorflow(name: &str, version: &str, cuda: Option<&str>, folders: &[&str]) -> Wheel {
    let module = format!(
        "__version__ = '{version}'\n\n\
         class test:\n    is_built_with_cuda = staticmethod(lambda: {})\n\n\
         class sysconfig:\n    get_build_info = staticmethod(lambda: {{'cuda_version': {}}})\n",
        if cuda.is_some() { "True" } else { "False" },
        cuda.map_or_else(|| "None".to_owned(), |cuda| format!("'{cuda}'")),
    );
    let run_path: Vec<_> = folders
        .iter()
        .map(|folder| format!("{CUDA_WHEELS}/{folder}/lib"))
        .collect();
    let library = linked(
        "libtensorflow_framework.so.2",
        &[],
        &[format!("-Wl,-rpath,{}", run_path.join(":"))],
    );
    Wheel::new(name, version)
        .tag("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64")
        .file("tensorflow/__init__.py", module)
        .file("tensorflow/libtensorflow_framework.so.2", library)
}

/// The sonames in the wheel of a CUDA library, such as nvidia-cublas-cu12.
pub fn cuda_sonames(wheel: &str) -> Vec<String> {
    let (name, major) = wheel.rsplit_once("-cu").unwrap();
    let new = major == "12";
    let either = |eleven: &str, twelve: &str| {
        if new {
            twelve.to_owned()
        } else {
            eleven.to_owned()
        }
    };
    match name.trim_start_matches("nvidia-") {
        "cuda-runtime" => vec![either("libcudart.so.11.0", "libcudart.so.12")],
        "cublas" => vec![
            either("libcublas.so.11", "libcublas.so.12"),
            either("libcublasLt.so.11", "libcublasLt.so.12"),
        ],
        "cufft" => vec![either("libcufft.so.10", "libcufft.so.11")],
        "curand" => vec!["libcurand.so.10".to_owned()],
        "cusolver" => vec!["libcusolver.so.11".to_owned()],
        "cusparse" => vec![either("libcusparse.so.11", "libcusparse.so.12")],
        "cudnn" => [
            "",
            "_ops_infer",
            "_ops_train",
            "_cnn_infer",
            "_cnn_train",
            "_adv_infer",
            "_adv_train",
        ]
        .map(|part| format!("libcudnn{part}.so.8"))
        .into(),
        "cuda-nvrtc" => vec![
            either("libnvrtc.so.11.2", "libnvrtc.so.12"),
            either("libnvrtc-builtins.so.11.8", "libnvrtc-builtins.so.12.2"),
        ],
        "nccl" => vec!["libnccl.so.2".to_owned()],
        "cuda-cupti" if new => vec!["libcupti.so.12".to_owned()],
        "nvjitlink" if new => vec!["libnvJitLink.so.12".to_owned()],
        _ => Vec::new(),
    }
}

/// A shared library that does nothing, and needs others to be loaded.
pub fn library(soname: &str, needs: &[&str]) -> Vec<u8> {
    linked(soname, needs, &[])
}

fn linked(soname: &str, needs: &[&str], options: &[String]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let link = |soname: &str, with: &[String]| {
        let path = folder.path().join(soname);
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-nostdlib", "-Wl,--no-as-needed"]);
        compiler.arg(format!("-Wl,-soname,{soname}"));
        compiler.arg("-o").arg(&path).args(with);
        run(compiler.args(["-x", "c", "/dev/null"])).unwrap();
        path
    };
    let text = |path: &Path| path.display().to_string();
    let mut with: Vec<String> = needs.iter().map(|need| text(&link(need, &[]))).collect();
    with.extend_from_slice(options);
    std::fs::read(link(soname, &with)).unwrap()
}
