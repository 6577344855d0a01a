//! Patches as zstd frames.

use zstd::zstd_safe::{self, CCtx, CParameter, SafeResult, Strategy};

/// A table of so many entries, to the power of two, finds what stands anywhere in three chunks; larger ones are slower
/// and find nothing more.
const TABLE_LOG: u32 = 22;

/// Matches in prefixes are long or worthless, and all within the window. Level 3 with its small tables makes patches 80 times
/// as large, level 19 is 60 times slower and saves nothing; `lazy` takes twice the time and saves one part in fifty where
/// little has changed, one in fourteen where much has.
const PARAMETERS: [CParameter; 5] = [
    CParameter::Strategy(Strategy::ZSTD_dfast),
    CParameter::HashLog(TABLE_LOG),
    CParameter::ChainLog(TABLE_LOG),
    CParameter::SearchLog(1),
    CParameter::MinMatch(7),
];

/// Why zstd could not: its own words.
#[derive(Debug, thiserror::Error)]
#[error("zstd: {0}")]
pub struct EncodeError(&'static str);

/// The content as a frame, with `prefix` before it. Takes about 40 MiB besides.
pub fn encode(prefix: &[u8], content: &[u8]) -> Result<Vec<u8>, EncodeError> {
    // Not used again: a context is bound to the life of its prefix.
    let mut context = CCtx::create();
    for parameter in PARAMETERS {
        said(context.set_parameter(parameter))?;
    }
    // All of the prefix is to be seen from the content's end.
    let window_log = usize::BITS - (prefix.len() + content.len()).leading_zeros();
    said(context.set_parameter(CParameter::WindowLog(window_log.max(WINDOW_LOG_MIN))))?;
    said(context.ref_prefix(prefix))?;
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(content.len()));
    said(context.compress2(&mut frame, content))?;
    Ok(frame)
}

/// `ZSTD_WINDOWLOG_MIN`: what zstd takes at least.
const WINDOW_LOG_MIN: u32 = 10;

fn said(answer: SafeResult) -> Result<usize, EncodeError> {
    answer.map_err(|code| EncodeError(zstd_safe::get_error_name(code)))
}
