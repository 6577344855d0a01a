//! What can be typed.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::row::ROWS;

/// Every kind of recipe with its real wheels: built, delivered, run and imported
#[derive(Args)]
pub struct Arguments {
    /// These rows instead of all
    #[arg(value_name = "ROW", value_parser = PossibleValuesParser::new(ROWS.iter().map(|row| row.name)))]
    pub only: Vec<String>,
    /// Where the numbers are written as JSON
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/bench/variants.json"
    )]
    pub report: PathBuf,
}
