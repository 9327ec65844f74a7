//! `host table`: what sinks have put into tables.

use std::io::Write;

use super::grid::{self, Side};
use super::place;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  host table show product_analysis --top 10")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the first rows of a table, by primary key.
    Show(Show),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host table show product_analysis
  host table show product_analysis --top 100 --pipeline products/pipeline.toml")]
struct Show {
    /// The table
    name: String,

    /// How many rows at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    #[command(flatten)]
    place: place::PlaceArguments,
}

/// Cells are cut after so many characters; `sqlite3` shows them whole.
const MAX_CELL_CHARS: usize = 60;

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let Command::Show(show) = &arguments.command;
    let (columns, rows) = show.place.find()?.top_rows(&show.name, show.top)?;
    let is_number = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column)?.as_deref()).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
    };
    let side = |column| if is_number(column) { Side::Right } else { Side::Left };
    let head: Vec<_> = columns.iter().enumerate().map(|(i, name)| (name.as_str(), side(i))).collect();
    let cell = |cell: &Option<String>| cell.as_deref().map_or_else(String::new, |c| grid::one_line(c, MAX_CELL_CHARS));
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    grid::print(out, &head, &rows)?;
    Ok(())
}
