//! What a driver and a GPU can do.

use serde::Serialize;
use tfleet_compat::Answer;

use super::{Cell, Grid, Tabular, Tone};

#[derive(Debug, Serialize)]
pub struct Compat {
    #[serde(flatten)]
    pub answer: Answer,
}

impl Tabular for Compat {
    fn grids(&self) -> Vec<Grid> {
        let answer = &self.answer;
        let driven = if answer.gpu_supported_by_driver {
            Cell::from("yes").toned(Tone::Good)
        } else {
            Cell::from("no").toned(Tone::Bad)
        };
        let mut pairs = vec![("driver drives the GPU", driven)];
        if let Some(cuda) = &answer.cuda {
            let release = cuda.native_release.as_ref();
            let native = cuda.native.map(|level| match release {
                Some(release) => format!("{level} (up to {release})"),
                None => level.to_string(),
            });
            pairs.extend([
                ("CUDA, native", Cell::maybe(native)),
                ("CUDA, minor-version compatibility", Cell::maybe(cuda.minor)),
                (
                    "CUDA, compat package in the image",
                    Cell::maybe(cuda.forward),
                ),
            ]);
        }
        if let Some(tensorflow) = &answer.tensorflow {
            let supported: Vec<String> = tensorflow
                .supported
                .iter()
                .map(ToString::to_string)
                .collect();
            pairs.extend([
                (
                    "TensorFlow, newest",
                    Cell::maybe(tensorflow.newest_strict.as_ref()),
                ),
                (
                    "TensorFlow, if all its code could be compiled",
                    Cell::maybe(tensorflow.newest.as_ref()),
                ),
                (
                    "TensorFlow, with the compat package",
                    Cell::maybe(tensorflow.newest_forward.as_ref()),
                ),
                (
                    "TensorFlow, all",
                    Cell::maybe((!supported.is_empty()).then(|| supported.join(" "))),
                ),
            ]);
        }
        if let Some(below) = &answer.cudnn_below {
            pairs.push((
                "keep cuDNN below",
                Cell::from(below.to_string()).toned(Tone::Attention),
            ));
        }
        if let Some(image) = &answer.image {
            let starts = match &image.unsatisfied {
                None => Cell::from("yes").toned(Tone::Good),
                Some(unsatisfied) => {
                    Cell::from(format!("no: unsatisfied condition: {unsatisfied}")).toned(Tone::Bad)
                }
            };
            pairs.push(("a container of the image starts", starts));
            if let Some(remedy) = &image.remedy {
                pairs.push(("what to do", Cell::from(remedy.as_str())));
            }
        }
        let reasons = answer.reasons.iter().map(|reason| {
            vec![
                Cell::from(reason.rule.to_string()),
                Cell::from(reason.fact.as_str()),
                Cell::from(reason.source.as_str()).toned(Tone::Faint),
            ]
        });
        vec![
            Grid::of_pairs(pairs),
            Grid::new(["RULE", "BECAUSE", "SOURCE"])
                .with_rows(reasons)
                .noting(2),
        ]
    }
}
