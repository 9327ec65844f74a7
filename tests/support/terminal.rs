//! A program on a terminal of its own: what it shows is on standard output, and what is typed goes to standard input.
//!
//! The terminal is a real one of the system, made by Python's `pty`, which passes bytes on and nothing else: that Ctrl-C is a
//! signal is the terminal's doing.

use std::path::Path;
use std::process::Command;

/// Ctrl-C as it is typed.
pub const CTRL_C: &str = "\x03";

/// Ends as the program does.
const ON_A_TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
/// A new terminal has no size.
const OF_A_SIZE: &str = "stty rows 30 cols 120 && exec \"$@\"";

/// The command that starts the program there.
pub fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", ON_A_TERMINAL, "sh", "-c", OF_A_SIZE, "sh"]).arg(program).args(arguments).env("TERM", "xterm");
    command
}
