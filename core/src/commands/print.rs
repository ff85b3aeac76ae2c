//! Text for people: tables, sizes, times, colours. Colours only on a terminal; a closed pipe ends the output
//! quietly, as `| head` expects.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

/// Writes text to stdout.
///
/// # Errors
/// stdout's, but not that its reader has gone.
pub fn out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let done = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a complaint to stderr; if nobody reads it, that is no reason to fail.
pub fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Columns under their headings, two blanks between them.
pub fn table(columns: &[String], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).chain(columns.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{:width$}", printable(cell))).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let headings: Vec<String> = columns.iter().map(|c| c.to_uppercase()).collect();
    std::iter::once(line(&headings)).chain(rows.iter().map(|row| line(row))).collect()
}

/// What plugins say must not move the cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Red on a terminal.
pub fn red(text: &str) -> String {
    if io::stdout().is_terminal() { format!("\u{1b}[31m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Bytes in MiB or KiB.
pub fn bytes(n: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown to a tenth")]
    let n_f = n as f64;
    if n >= 1 << 20 { format!("{:.1} MiB", n_f / 1_048_576.0) } else { format!("{:.1} KiB", n_f / 1024.0) }
}

/// A time to the second from a minute on, to the millisecond below a second.
pub fn time(ms: u64) -> String {
    let rounded = if ms >= 1000 { ms / 1000 * 1000 } else { ms };
    portreeve_config::duration::format(Duration::from_millis(rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_gone() {
        let rows = [vec!["radvd".to_owned(), "ready".to_owned()], vec!["x\u{1b}[2J".to_owned(), String::new()]];
        let text = table(&["name".to_owned(), "state".to_owned()], &rows);
        assert_eq!(text, "NAME   STATE\nradvd  ready\nx [2J\n");
    }
}
