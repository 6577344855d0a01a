//! The program `tfleet-agent`.

fn main() {}
